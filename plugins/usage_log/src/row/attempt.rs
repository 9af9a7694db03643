//! An attempt upstream, as a row keeps it: in the column of its attempts, and for its spans.

use std::time::Duration;

use plugin_api::{Attempt, LONGEST_TEXT, stored_text};
use serde::{Deserialize, Serialize};

use crate::RowText;

/// An attempt upstream. Times are in microseconds from the head of the request on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowAttempt {
    /// When a server was asked for.
    pub wanted_us: i64,
    /// When it began.
    pub began_us: i64,
    /// When it ended; `None` for one that went on to the end of the exchange.
    pub ended_us: Option<i64>,
    /// The upstream's name.
    pub upstream: String,
    /// The server, as the YAML writes it.
    pub server: String,
    /// Its address and port.
    pub address: String,
    /// Why it failed, in a word.
    pub error: Option<RowText>,
    /// The status of its response.
    pub status: Option<i16>,
}

impl From<&Attempt> for RowAttempt {
    fn from(attempt: &Attempt) -> Self {
        Self {
            wanted_us: micros(attempt.wanted),
            began_us: micros(attempt.began),
            ended_us: attempt.ended.map(micros),
            upstream: stored_text(&attempt.upstream, LONGEST_TEXT).into_owned(),
            server: stored_text(&attempt.server, LONGEST_TEXT).into_owned(),
            address: attempt.address.to_string(),
            error: attempt.error.map(RowText::new_static),
            status: attempt.status.and_then(|status| status.as_u16().try_into().ok()),
        }
    }
}

pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
