//! The attempts upstream of one exchange: where it stands with them. Decides nothing.

use std::os::fd::RawFd;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::balance::{Lease, ServerFailure};

use super::hash_key::Keys;
use super::upstream::{Carriage, Upstream};

/// The attempts upstream.
#[derive(Default)]
pub struct Attempts {
    /// When the last of them must be over.
    pub end: Option<Instant>,
    /// When the present one began.
    pub began: Option<Instant>,
    /// The upstream of the present attempt: the route's, or a fallback.
    pub upstream: Option<Arc<Upstream>>,
    /// The server of the present attempt.
    pub lease: Option<Lease>,
    /// The server of the next attempt, where it had to be certain that there is one.
    pub next: Option<Lease>,
    /// The servers of the present upstream that failed, by id.
    pub tried: Vec<u64>,
    /// Attempts on the present upstream.
    pub made: u32,
    /// How many fallbacks take over when the next attempt begins. Until then all that is said is said of this upstream.
    pub takeovers: usize,
    /// How many fallbacks have taken over.
    pub taken_over: usize,
    /// What the upstreams hash of it, in the order of the fallbacks.
    pub keys: Keys,
    /// The tokens it asks for.
    pub tokens: u64,
    /// How its body was encoded, where that may matter for a fallback.
    pub sent_headers: HeaderMap,
    /// The next attempt is for the same server, on a connection of its own.
    pub same_server: bool,
    /// The present attempt is such a one.
    pub is_second: bool,
    /// The server takes the request in HTTP/1.1 alone.
    pub wants_http_1: bool,
    /// Whether one of its kept connections was stale already.
    pub was_stale: bool,
    /// The last answer that was given up for another attempt.
    pub given_up: Option<GivenUp>,
    /// When a server may take requests again, if none does now.
    pub earliest: Option<Instant>,
    /// The connection of the present attempt.
    pub connection: RawFd,
    /// How the present attempt uses it.
    pub carriage: Carriage,
}

/// An answer that was given up for another attempt.
pub struct GivenUp {
    /// Its status.
    pub status: StatusCode,
    /// Its `retry-after`.
    pub retry_after: Option<HeaderValue>,
}

impl Attempts {
    /// Counts a failure against the server of the present one.
    pub fn blame(&mut self, fault: ServerFailure) {
        if let (Some(upstream), Some(lease)) = (&self.upstream, &mut self.lease) {
            upstream.pool.failed(lease, fault, std::time::Instant::now());
        }
    }

    /// The server of the present one is not to be tried again.
    pub fn rule_out(&mut self) {
        if let Some(lease) = &self.lease {
            self.tried.push(lease.server().id());
        }
        (self.was_stale, self.wants_http_1) = (false, false);
    }
}
