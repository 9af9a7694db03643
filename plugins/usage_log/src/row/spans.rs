//! What a row knows beyond its columns for the spans that are made of it. The journal alone has it.

use plugin_api::Record;

use super::attempt::{RowAttempt, micros};

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

impl RowSpans {
    /// The spans of an exchange; none where none are made.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let trace = record.context.trace.as_ref()?;
        let [head, call] = trace.hooks;
        Some(Self {
            span: trace.span?.bytes(),
            parent: trace.parent.map(plugin_api::SpanId::bytes),
            flags: trace.flags.into(),
            total_us: micros(record.total),
            head_began_us: head.map_or(0, |(began, _)| micros(began)),
            head_ended_us: head.map_or(0, |(_, ended)| micros(ended)),
            call_began_us: call.map_or(0, |(began, _)| micros(began)),
            call_ended_us: call.map_or(0, |(_, ended)| micros(ended)),
            attempts: record.attempt_log.as_slice().iter().map(RowAttempt::from).collect(),
        })
    }
}
