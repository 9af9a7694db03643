//! The trace of a request: the one that its client names or a new one, what servers are told of it, and the times that its spans have.
//! Spans are made behind the ledger; nothing is sent here.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_error::Result;
use pingora_http::RequestHeader;
use plugin_api::{Trace, Traceparent};

use super::ctx::Exchange;
use super::forward::internal;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl Exchange {
    /// Reads which trace the client says the request belongs to. One that is not valid, or named twice, is none.
    pub fn read_trace(&mut self, headers: &HeaderMap) {
        if self.flags.traceparents == 1 {
            let client = headers.get(TRACEPARENT).and_then(|named| Traceparent::parse(named.as_bytes()));
            self.record.context.trace = client.map(Trace::passing).map(Box::new);
        }
    }

    /// Its route was found. Where that keeps rows, and spans are made of them, the gateway's span is in the client's trace, or in one that
    /// begins here. Elsewhere what the client says of its trace passes as it came.
    pub fn begin_trace(&mut self, keeps_rows: bool) {
        if let Some(sample) = self.snapshot.sample.filter(|_| keeps_rows) {
            let client = self.record.context.trace.take().map(|client| *client);
            self.record.context.trace = Some(Box::new(Trace::traced(client, |id| sample.has(id))));
        }
    }

    /// How long the request has taken, where its times are noted.
    #[must_use]
    pub fn traced_time(&self) -> Option<Duration> {
        self.record.context.trace.as_ref()?.span?;
        Some(self.began.elapsed())
    }

    /// Plugins saw its head (0) or its call (1) from this time on until now.
    pub fn hook_ran(&mut self, hook: usize, since: Option<Duration>) {
        if let (Some(since), Some(trace)) = (since, &mut self.record.context.trace)
            && let Some(times) = trace.hooks.get_mut(hook)
        {
            *times = Some((since, self.began.elapsed()));
        }
    }
}

/// Tells the server of the present attempt which span its own are below, where spans are made. What a client said of a trace that begins
/// here goes.
///
/// # Errors
/// A fault of the gateway.
pub fn write(head: &mut RequestHeader, ctx: &Exchange) -> Result<()> {
    let Some(trace) = &ctx.record.context.trace else { return Ok(()) };
    let attempt = ctx.record.attempt_log.as_slice().len().saturating_sub(1);
    let Some(text) = trace.traceparent(attempt) else { return Ok(()) };
    let value = HeaderValue::from_bytes(&text).map_err(|_| internal("traceparent"))?;
    head.insert_header(TRACEPARENT, value)?;
    if trace.parent.is_none() {
        head.remove_header(&TRACESTATE);
    }
    Ok(())
}
