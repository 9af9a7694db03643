//! What a row knows beyond its columns for the spans that are made of it. The journal alone has it.

use plugin_api::{Trace, TracedAttempt};

use crate::Word;

/// The spans of a row that are to be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowSpans {
    /// The gateway's span.
    pub(crate) span: [u8; 8],
    /// The client's.
    pub(crate) parent: Option<[u8; 8]>,
    /// The flags of the trace.
    pub(crate) flags: i64,
    /// How long all took, in microseconds.
    pub(crate) total_us: i64,
    /// When plugins began with the head and ended, and with the call; in microseconds from the head on. 0 where there was none.
    pub(crate) head_began_us: i64,
    pub(crate) head_ended_us: i64,
    pub(crate) call_began_us: i64,
    pub(crate) call_ended_us: i64,
    /// The attempts, in order.
    pub(crate) attempts: Vec<RowAttempt>,
}

/// An attempt upstream. Times are in microseconds from the head of the request on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowAttempt {
    pub(crate) wanted_us: i64,
    pub(crate) began_us: i64,
    /// When it ended; `None` for one that went on to the end of the exchange.
    pub(crate) ended_us: Option<i64>,
    pub(crate) upstream: String,
    pub(crate) server: String,
    pub(crate) address: String,
    pub(crate) error: Option<Word>,
    pub(crate) status: Option<i16>,
}

impl RowSpans {
    /// The spans of an exchange that took so long; none where none are made.
    pub(crate) fn of(trace: &Trace, total: std::time::Duration) -> Option<Self> {
        let [head, call] = trace.hooks;
        let attempt = |attempt: &TracedAttempt| RowAttempt {
            wanted_us: micros(attempt.wanted),
            began_us: micros(attempt.began),
            ended_us: attempt.ended.map(micros),
            upstream: attempt.upstream.as_ref().into(),
            server: attempt.server.as_ref().into(),
            address: attempt.address.to_string(),
            error: attempt.error.map(Word::Borrowed),
            status: attempt.status.and_then(|status| status.try_into().ok()),
        };
        Some(Self {
            span: trace.span?.bytes(),
            parent: trace.parent.map(plugin_api::SpanId::bytes),
            flags: trace.flags.into(),
            total_us: micros(total),
            head_began_us: head.map_or(0, |(began, _)| micros(began)),
            head_ended_us: head.map_or(0, |(_, ended)| micros(ended)),
            call_began_us: call.map_or(0, |(began, _)| micros(began)),
            call_ended_us: call.map_or(0, |(_, ended)| micros(ended)),
            attempts: trace.attempts.iter().map(attempt).collect(),
        })
    }
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
