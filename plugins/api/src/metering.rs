//! What a call counts for limits once it is over, so that the limits and the ledger's row say the same. Counts nothing itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Record;

/// How the limits that a call is held to count it. The plugin that limits it puts this into the call's context; whoever records the
/// call asks it for the same figures.
pub trait CallMeter: fmt::Debug + Send + Sync {
    /// The tokens that the call counts, by the weights of its limits; `None` where it counts nothing, not even a request.
    fn used(&self, record: &Record) -> Option<u64>;

    /// What the call adds to counts of days and months, once it counts `now` where it counted `before`. Empty where that is the same.
    fn changes(&self, before: Option<u64>, now: Option<u64>) -> Vec<WindowCount>;
}

/// A change of the count that a limit keeps for one caller in a day or a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowCount {
    /// The limit, by a digest.
    pub limit: [u8; 16],
    /// The caller, by a digest.
    pub subject: [u8; 16],
    /// The first second behind the day or month, since 1970, UTC.
    pub until: i64,
    /// How much more is counted; negative where a correction lowers it.
    pub amount: i64,
}
