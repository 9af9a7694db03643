//! Reads a type from a tree in spite of errors: each is reported, the value it concerns is left out, and the type is read again.

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use crate::decode::Decoder;
use crate::decode_error::{ErrorKind, Place};
use crate::located::Location;
use crate::names::nearest;
use crate::node::{Entry, Id, Kind, Mark, Node, Problem};
use crate::reader::RenamedKey;
use crate::recovery::Recovery;
use crate::report::Report;

/// Reads the file that the report is about. Errors of `unreadable` values have been reported.
///
/// After errors the value lacks what they concern, and is good only to look for more.
pub(crate) fn decode<T: DeserializeOwned>(
    report: &mut Report<'_>,
    unreadable: Vec<Id>,
    renamed: &[RenamedKey],
) -> Option<T> {
    let root = report.root();
    let mut recovery = Recovery::new(unreadable, renamed);
    // every turn adds to the recovery, so this ends
    while !report.is_full() {
        let error = match T::deserialize(Decoder { node: root, recovery: &recovery }) {
            Ok(value) => {
                recovery.old_names.into_inner().warn(root, report);
                return Some(value);
            }
            Err(error) => error,
        };
        let place = error.place.unwrap_or(Place::Value(root.id));
        let (Place::Value(id) | Place::Key(id)) = place;
        let node = root.all().find(|node| node.id == id)?;
        if let ErrorKind::Missing(key) = error.kind {
            // a key that is misspelled, or whose value is wrong, has been reported
            let is_reported = |entry: &Entry| {
                recovery.excluded.contains(&entry.value.id) && nearest(&entry.key.text, &[key]).is_some()
            };
            if !node.entries().iter().any(is_reported) {
                report.add_missing(node, key);
            }
            if recovery.add_placeholder(id, key) {
                continue;
            }
        } else if matches!(error.kind, ErrorKind::Custom(_)) && lacks_values(node, &recovery.excluded) {
            // what a type says of a mapping from which wrong values were left out follows from those
        } else if let Some(message) = error.kind.message(node, renamed) {
            report.add(problem(root, node, place, message));
        }
        if id == root.id || !recovery.excluded.insert(id) {
            return None;
        }
    }
    None
}

/// Whether values of this mapping were left out.
fn lacks_values(node: &Node, excluded: &HashSet<Id>) -> bool {
    node.entries().iter().any(|entry| excluded.contains(&entry.value.id))
}

/// The keys that a type must have at its top level.
pub(crate) fn required_keys<T: DeserializeOwned>() -> Vec<&'static str> {
    let root = Node { id: 1, mark: Mark { at: Location::default(), width: 1 }, kind: Kind::Mapping(Vec::new()) };
    let mut recovery = Recovery::new(Vec::new(), &[]);
    while let Err(error) = T::deserialize(Decoder { node: &root, recovery: &recovery }) {
        let ErrorKind::Missing(key) = error.kind else { break };
        if !recovery.add_placeholder(root.id, key) {
            break;
        }
    }
    recovery.placeholders.remove(&root.id).unwrap_or_default()
}

/// An error of a key is a problem of the mapping that holds it.
fn problem(root: &Node, node: &Node, place: Place, message: String) -> Problem {
    match (place, root.holder_of(node.id)) {
        (Place::Key(_), Some((holder, key))) => Problem { node: holder.id, mark: key.mark, message },
        _ => Problem { node: node.id, mark: node.mark, message },
    }
}
