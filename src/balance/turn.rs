//! What a rule knows of a server when it chooses. The rules are pure: they see turns and nothing else.

/// A server as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Its weight at this moment.
    pub weight: u64,
    /// The weight by which it goes round: below the full one after failures, and recovering (nginx: `effective_weight`).
    pub effective: i64,
    /// What one step of recovery is: 1 in nginx, more where weights are scaled to be shared exactly.
    pub unit: i64,
    /// Grows by the effective weight at every choice it takes part in and falls by the sum of all when it wins: smooth
    /// weighted round robin.
    pub current: i64,
    /// What is in flight on it: requests, or the tokens they ask for.
    pub load: u64,
    /// A number of its own, the same in every process.
    pub hash: u64,
    /// How long its first byte takes of late, in seconds, where the rule asks.
    pub wait: f64,
    /// Whether it may be chosen.
    pub takes_part: bool,
    /// Whether it may be chosen if nobody takes part.
    pub stands_by: bool,
}

impl Turn {
    pub fn new(weight: u64, unit: u64, hash: u64) -> Self {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Self {
            weight,
            effective: signed(weight),
            unit: signed(unit),
            current: 0,
            load: 0,
            hash,
            wait: 0.0,
            takes_part: true,
            stands_by: false,
        }
    }

    /// Its failure weighs this much against it until it has recovered.
    pub fn lower(&mut self, by: i64) {
        self.effective = (self.effective - by).max(0);
    }
}
