//! Makes a type of a tree in spite of errors: each is told, what it concerns is left out, and the rest is read again.

use serde::de::DeserializeOwned;

use super::decode::{Decoder, Gaps};
use super::fault::{Place, What};
use super::node::{Entry, Id, Node, Problem};
use super::report::{Report, nearest};

/// Reads the file that the report is about. Values that are `unknown` have been told of.
///
/// If there are errors, what is returned lacks what they concern, and is good only to look for more.
pub(super) fn decode<T: DeserializeOwned>(report: &mut Report<'_>, unknown: Vec<Id>) -> Option<T> {
    let root = report.root();
    let mut gaps = Gaps { unknown: unknown.into_iter().collect(), ..Gaps::default() };
    // every turn adds to the gaps, so this ends
    while !report.is_full() {
        let fault = match T::deserialize(Decoder { node: root, gaps: &gaps }) {
            Ok(value) => return Some(value),
            Err(fault) => fault,
        };
        let place = fault.place.unwrap_or(Place::Value(root.id));
        let (Place::Value(id) | Place::Key(id)) = place;
        let node = root.all().find(|node| node.id == id)?;
        if let What::Missing(key) = fault.what {
            // a key that is misspelled, or whose value is wrong, has been told of
            let is_told =
                |entry: &Entry| gaps.unknown.contains(&entry.value.id) && nearest(&entry.key.text, &[key]).is_some();
            if !node.entries().iter().any(is_told) {
                report.add_missing(node, key);
            }
            let assumed = gaps.assumed.entry(id).or_default();
            if !assumed.contains(&key) {
                assumed.push(key);
                continue;
            }
        } else if let Some(message) = fault.what.message(node) {
            report.add(problem(root, node, place, message));
        }
        if id == root.id || !gaps.unknown.insert(id) {
            return None;
        }
    }
    None
}

/// What is wrong with a key is a problem of the mapping that holds it.
fn problem(root: &Node, node: &Node, place: Place, message: String) -> Problem {
    match (place, root.holder_of(node.id)) {
        (Place::Key(_), Some((holder, key))) => Problem { node: holder.id, mark: key.mark, message },
        _ => Problem { node: node.id, mark: node.mark, message },
    }
}
