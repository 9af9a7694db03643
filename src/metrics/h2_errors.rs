//! How many streams and connections of HTTP/2 clients this process has ended, by error code. A request that breaks the protocol never arrives
//! where requests are counted, so nothing else tells of it.

use std::sync::atomic::{AtomicU64, Ordering};

use log::info;
use plugin_api::LogLimit;

use prometheus::proto::{MetricFamily, MetricType};

use super::family::{counter, family, label};

/// What was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// One stream, by `RST_STREAM`.
    Stream,
    /// All of them, by `GOAWAY`.
    Connection,
}

impl Ended {
    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Connection => "connection",
        }
    }
}

/// The error codes (RFC 9113 §7), by their number; the last is for all others.
const CODES: [&str; 15] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
    "OTHER",
];

/// [`Ended::Stream`], then [`Ended::Connection`].
static COUNTS: [[AtomicU64; CODES.len()]; 2] = [const { [const { AtomicU64::new(0) }; CODES.len()] }; 2];

/// The codes of ends that are not the client's doing: no error, the gateway's own, that of a server, and an exchange that was given up.
const NOT_BY_CLIENTS: [&str; 4] = ["NO_ERROR", "INTERNAL_ERROR", "CANCEL", "OTHER"];

/// Counts one. An end that is the client's doing is logged: the first of its kind at once, then one a minute.
pub fn count_h2_end(ended: Ended, code: u32) {
    static LOGGED: LogLimit<(&str, &str)> = LogLimit::new();
    let place = usize::try_from(code).unwrap_or(usize::MAX).min(CODES.len() - 1);
    COUNTS[ended as usize][place].fetch_add(1, Ordering::Relaxed);
    let (what, code) = (ended.name(), CODES[place]);
    if !NOT_BY_CLIENTS.contains(&code)
        && let Some(suppressed) = LOGGED.pass((what, code))
    {
        info!(ended = what, code, suppressed; "an HTTP/2 client broke the protocol");
    }
}

/// Those so far, without the zeros.
fn counts() -> impl Iterator<Item = (Ended, &'static str, u64)> {
    [Ended::Stream, Ended::Connection].into_iter().flat_map(|ended| {
        let counts = COUNTS[ended as usize].iter().map(|count| count.load(Ordering::Relaxed));
        CODES.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(move |(code, count)| (ended, code, count))
    })
}

/// The metric of them.
pub(super) fn family_of_ends() -> MetricFamily {
    let samples = counts()
        .map(|(ended, code, count)| counter(vec![label("code", code), label("ended", ended.name())], count))
        .collect();
    family(
        "tollgate_http2_ended_total",
        "Streams and connections of HTTP/2 clients that the gateway ended, by error code",
        MetricType::COUNTER,
        samples,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_place() {
        let before = |wanted: &str| {
            counts().find(|(ended, code, _)| *ended == Ended::Stream && *code == wanted).map_or(0, |c| c.2)
        };
        for (code, name) in [(1, "PROTOCOL_ERROR"), (11, "ENHANCE_YOUR_CALM"), (14, "OTHER"), (u32::MAX, "OTHER")] {
            let counted = before(name);
            count_h2_end(Ended::Stream, code);
            assert!(before(name) > counted, "{name}");
        }
    }
}
