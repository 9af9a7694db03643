//! Notes the attempts of an exchange with their servers and times, once there is more than one, or if spans are made of them.

use std::time::Duration;

use http::StatusCode;
use plugin_api::Attempt;
use tokio::time::Instant;

use super::ctx::Exchange;

impl Exchange {
    /// An attempt begins now, for which a server was wanted at this time.
    pub fn attempt_begins(&mut self, wanted: Instant, now: Instant) {
        let has_spans = || self.record.context.trace.as_ref().is_some_and(|trace| trace.span.is_some());
        // spans may be made of the callers of a plugin's request
        if self.record.attempt_log.as_slice().is_empty() && !has_spans() && self.plugin_request.is_none() {
            return;
        }
        let Some(server) = self.attempts.as_ref().and_then(|attempts| attempts.lease()) else { return };
        let (server, address) = (server.label().clone(), server.server().socket());
        let Some(upstream) = self.record.upstream.clone() else { return };
        let (wanted, began) = (self.after(wanted), self.after(now));
        let attempt = Attempt { wanted, began, ended: None, upstream, server, address, error: None, status: None };
        self.record.attempt_log.push(attempt);
    }

    /// The present attempt has a response.
    pub fn attempt_answered(&mut self, status: StatusCode) {
        self.record.attempt_log.answered(status);
    }

    /// The present attempt has failed for this reason; with `status`, its response is discarded.
    pub fn attempt_failed(&mut self, error: &'static str, status: Option<StatusCode>, now: Instant) {
        let ended = self.after(now);
        if !self.record.attempt_log.as_slice().is_empty() {
            self.record.attempt_log.failed(ended, error);
            return;
        }
        let began = self.attempts.as_ref().map(|attempts| self.after(attempts.began()));
        let (Some(began), Some(upstream), Some(server), Some(address)) =
            (began, self.record.upstream.clone(), self.record.server.clone(), self.record.upstream_addrs.last())
        else {
            return;
        };
        let (ended, error) = (Some(ended), Some(error));
        // a first attempt that had to wait for its server is noted from when it had one
        self.record.attempt_log.push(Attempt { wanted: began, began, ended, upstream, server, address, error, status });
    }

    /// A time as what it is after the head of the request.
    fn after(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.began)
    }
}
