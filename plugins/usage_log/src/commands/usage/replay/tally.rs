//! What past calls cost, and would have cost: counted by rule and by model, exactly.

use std::collections::BTreeMap;

use crate::Timestamp;

/// Everything that was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The span of time.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// Rows in it.
    pub(super) calls: u64,
    /// Calls of which it is known what they would have had.
    pub(super) decided: u64,
    /// Those of them whose conversation had the model before.
    pub(super) pinned: u64,
    /// The others that asked for a name that is routed, by what their rows lack.
    pub(super) unknown: BTreeMap<&'static str, Unknown>,
    /// The decided calls by rule and model.
    pub(super) by_rule: BTreeMap<(String, String), Sums>,
    /// By the model that answered, and by the one that would have.
    pub(super) by_model: BTreeMap<String, ModelSums>,
    /// All decided calls.
    pub(super) all: Sums,
}

/// Calls of which it cannot be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) calls: u64,
    /// What those of known cost cost, in picodollars.
    pub(super) actual: i128,
}

/// Decided calls. Money is in picodollars, of those calls alone of which both costs are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) calls: u64,
    pub(super) actual: i128,
    pub(super) replayed: i128,
    /// Calls of which one of the costs is not known, for want of a price.
    pub(super) unpriced: u64,
    /// Calls that reported no tokens, so that neither is known.
    pub(super) without_usage: u64,
}

/// The calls of one model, then and now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelSums {
    pub(super) then: Sums,
    pub(super) now: Sums,
}

/// The costs of a decided call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Priced {
    pub(super) actual: Option<i128>,
    pub(super) replayed: Option<i128>,
    pub(super) had_usage: bool,
}

impl Tally {
    /// Rows of this span are read.
    pub(super) fn begins(&mut self, since: Timestamp, until: Timestamp) {
        let (from, to) = self.span.unwrap_or((since, until));
        self.span = Some((from.min(since), to.max(until)));
    }

    /// Of a call it cannot be known what it would have had.
    pub(super) fn unknown(&mut self, lacking: &'static str, actual: Option<i128>) {
        let unknown = self.unknown.entry(lacking).or_default();
        unknown.calls += 1;
        unknown.actual += actual.unwrap_or(0);
    }

    /// A call that one model answered would have had another, or the same.
    pub(super) fn decided(&mut self, rule: &str, (then, now): (String, String), pinned: bool, priced: Priced) {
        self.decided += 1;
        self.pinned += u64::from(pinned);
        self.all.add(priced);
        self.by_rule.entry((rule.to_owned(), now.clone())).or_default().add(priced);
        self.by_model.entry(then).or_default().then.add(priced);
        self.by_model.entry(now).or_default().now.add(priced);
    }

    /// Calls that asked for a name that is routed.
    pub(super) fn routed(&self) -> u64 {
        self.decided + self.unknown_calls()
    }

    /// Those of which it cannot be known.
    pub(super) fn unknown_calls(&self) -> u64 {
        self.unknown.values().map(|unknown| unknown.calls).sum()
    }
}

impl Sums {
    fn add(&mut self, priced: Priced) {
        self.calls += 1;
        match (priced.actual, priced.replayed) {
            (Some(actual), Some(replayed)) => {
                self.actual += actual;
                self.replayed += replayed;
            }
            _ if priced.had_usage => self.unpriced += 1,
            _ => self.without_usage += 1,
        }
    }

    /// What would have been saved; negative where it would have cost more.
    pub(super) fn saved(&self) -> i128 {
        self.actual - self.replayed
    }
}
