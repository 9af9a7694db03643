//! A server as a balancing rule sees it. The rules are pure functions of turns.

/// A server as a balancing rule sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The current weight.
    pub weight: u64,
    /// The weight in the round robin: lowered by failures and recovering (nginx: `effective_weight`).
    pub effective: i64,
    /// One step of recovery: 1 in nginx, more where weights are scaled.
    pub unit: i64,
    /// The counter of smooth weighted round robin: raised by the effective weight at every selection in which the server is
    /// eligible, and lowered by the sum of all effective weights when it is selected (nginx: `current_weight`).
    pub current: i64,
    /// Its load: requests in flight, or the tokens they ask for.
    pub load: u64,
    /// A hash of the server's identity, the same in every process.
    pub hash: u64,
    /// The average time to the first byte, in seconds; for `peak_ewma` only.
    pub wait: f64,
    /// Whether it is eligible.
    pub takes_part: bool,
    /// Whether it is eligible if no other server is.
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

    /// Lowers the effective weight after a failure.
    pub fn lower(&mut self, by: i64) {
        self.effective = (self.effective - by).max(0);
    }
}
