//! Purges and their order. An answer whose call began before a matching purge is not served any more.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::entry::Entry;

/// Which answers to remove: those that match every field that is set; all if none is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// The tenant: the name or the header's value of the scope, or the beginning of the SHA-256 of the API key in 32
    /// hexadecimal digits, as the ledger has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The requested model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Purge {
    /// Whether it removes the answers of this tenant and requested model.
    pub(crate) fn takes(&self, tenant: &str, model: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant) && self.model.as_deref().is_none_or(|own| own == model)
    }
}

/// How many purges are remembered one by one. Older answers count as purged.
pub(crate) const REMEMBERED: usize = 4096;

/// Purges, ordered by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Purges {
    purges: VecDeque<(u64, Purge)>,
    /// Answers of an earlier epoch count as purged.
    floor: u64,
}

impl Purges {
    /// Adds a purge with this number. It need not be the highest, since purges of other gateways may arrive late.
    pub(crate) fn add(&mut self, number: u64, purge: Purge) {
        let at = self.purges.partition_point(|(own, _)| *own <= number);
        self.purges.insert(at, (number, purge));
        if self.purges.len() > REMEMBERED
            && let Some((oldest, _)) = self.purges.pop_front()
        {
            self.floor = oldest;
        }
    }

    /// Purges before this number may be missing, so answers of earlier epochs count as purged.
    pub(crate) fn lost_before(&mut self, number: u64) {
        self.floor = self.floor.max(number);
    }

    /// The number of the last purge.
    pub(crate) fn last(&self) -> u64 {
        self.purges.back().map_or(self.floor, |(number, _)| *number)
    }

    /// Whether an entry that has seen all purges up to `epoch` was purged since.
    pub(crate) fn takes(&self, entry: &Entry, epoch: u64) -> bool {
        epoch < self.floor
            || self
                .purges
                .iter()
                .rev()
                .take_while(|(number, _)| *number > epoch)
                .any(|(_, purge)| purge.takes(&entry.tenant, &entry.model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_a_purge_that_matches_is_taken_in_whatever_order_purges_are_heard_of() {
        let other = Purge { tenant: Some("u".into()), model: None };
        let mut purges = Purges::default();
        purges.add(200, Purge::default());
        purges.add(150, other.clone());
        purges.add(300, other);
        for (epoch, taken) in [(0, true), (160, true), (199, true), (200, false), (400, false)] {
            assert_eq!(purges.takes(&Entry::of_body(""), epoch), taken, "{epoch}");
        }
        assert_eq!(purges.last(), 300);
    }

    #[test]
    fn what_is_older_than_all_that_is_remembered_is_taken() {
        let other = Purge { tenant: Some("u".into()), model: None };
        let mut purges = Purges::default();
        for number in 1..=REMEMBERED as u64 {
            purges.add(number, other.clone());
        }
        assert!(!purges.takes(&Entry::of_body(""), 0));
        purges.add(REMEMBERED as u64 + 1, other);
        assert!(purges.takes(&Entry::of_body(""), 0) && !purges.takes(&Entry::of_body(""), 1));
        purges.lost_before(3);
        assert!(purges.takes(&Entry::of_body(""), 2) && !purges.takes(&Entry::of_body(""), 3));
    }
}
