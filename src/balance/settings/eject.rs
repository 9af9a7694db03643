//! When a failing server is left out: the settings of ejection.

use plugin_api::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a server is left out for a while. Failed connections, timeouts and broken answers always count as failures, as in
/// nginx; here answers do, too. What is the caller's fault never counts, nor does an answer with `x-should-retry: false`.
///
/// The last server that is left is not ejected, whatever it does: it stays in use for want of another. Requests are not held
/// back from it, as they are not in nginx, but it gets no more than them: while the others are out, none is tried again but
/// on it, within the budget of `retry`. Where all are out nevertheless (one ejected, the other found unhealthy), the one
/// whose time is over first takes the requests, up to its `max_conns`, and no second tries.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Eject {
    /// The statuses that count as failures.
    pub on: Vec<FailureStatus>,
    /// The longest ejection, by doubling or by the server's `retry-after`; at least its `fail_timeout`.
    #[serde(alias = "longest")]
    pub max_time: Period,
}

impl Default for Eject {
    fn default() -> Self {
        Self { on: [429, 500, 502, 503, 529].map(FailureStatus).into(), max_time: Period::from_secs(300) }
    }
}

/// A status that counts as a failure: 429, or one of 500 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(extend("minimum" = 429, "maximum" = 599))]
pub struct FailureStatus(u16);

impl FailureStatus {
    /// As a number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u64> for FailureStatus {
    type Error = String;

    fn try_from(status: u64) -> Result<Self, String> {
        match u16::try_from(status) {
            Ok(status @ (429 | 500..=599)) => Ok(Self(status)),
            _ => Err(format!("{status} says nothing against a server; a failure is 429 or one of 500 to 599")),
        }
    }
}
