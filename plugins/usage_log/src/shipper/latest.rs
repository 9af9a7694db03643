//! Several records of one request in a batch: only the latest is shipped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::Record;

/// Leaves of several records of a request only the latest.
pub(super) fn keep_latest(records: &mut Vec<Record>) {
    let mut latest: HashMap<_, (i16, usize)> = HashMap::with_capacity(records.len());
    let mut stale = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let Record::Request(row) = record else { continue };
        match latest.entry(row.id) {
            Entry::Vacant(first) => drop(first.insert((row.revision, at))),
            Entry::Occupied(mut known) if known.get().0 < row.revision => {
                stale.push(known.insert((row.revision, at)).1);
            }
            Entry::Occupied(_) => stale.push(at),
        }
    }
    if stale.is_empty() {
        return;
    }
    stale.sort_unstable();
    let mut at = 0;
    records.retain(|_| {
        at += 1;
        stale.binary_search(&(at - 1)).is_err()
    });
}
