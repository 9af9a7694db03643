//! The attempts of one exchange: the one place where retries, the queue and failover are decided. An event goes in, and an action
//! comes out. It reads no clock and touches no connection.

mod error_answer;
mod event;
mod next;
mod selection;

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::balance::{FailureClass, Lease, RetryOn, ServerFailure};

use super::failure::Failure;
use super::retry_hint::RetryHint;
use super::upstream::Upstream;

pub use error_answer::ErrorAnswer;
pub use event::{Action, BreakCause, ConnectFailure, Event, Unprocessed};

use error_answer::DiscardedResponse;
use next::NextAttempt;

/// The properties of a request that matter for the selection of its servers.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// The hash of its key for each upstream of the chain of fallbacks; empty if none hashes.
    pub hash_keys: Vec<Option<u64>>,
    /// The tokens it asks for.
    pub tokens: u64,
    /// Whether its method is idempotent (RFC 9110 §9.2.2).
    pub idempotent: bool,
    /// Whether a server that may have processed it is the last that gets it, whatever `retry` says, and no fallback takes it.
    pub once: bool,
}

/// The attempts of one exchange.
pub struct Attempts {
    demand: Demand,
    /// The time at which the last of them must be over.
    deadline: Instant,
    phase: Phase,
    /// The upstream of the present attempt: the route's, or a fallback.
    upstream: Arc<Upstream>,
    /// Fallbacks that were moved to.
    fallback_depth: usize,
    /// The server of the present attempt.
    lease: Option<Lease>,
    /// Whether that server has been blamed for it.
    blamed: bool,
    /// When the present attempt began.
    began: Instant,
    /// Whether it needs a fresh connection.
    fresh_connection: bool,
    /// Whether the server takes the request in HTTP/1.1 alone.
    http1_only: bool,
    /// Whether one of its kept connections was stale already.
    was_stale: bool,
    /// Whether it has been connected to once more because of its certificate.
    verified_otherwise: bool,
    next: NextAttempt,
    /// The servers of the present upstream that are not tried again, by id.
    excluded: Vec<u64>,
    /// Attempts on the present upstream.
    attempt_count: u32,
    /// Attempts in all.
    total: u32,
    /// The last failure; `None` again once a response passes.
    failure: Option<Failure>,
    discarded: Option<DiscardedResponse>,
    /// When a server may take requests again, if none does now.
    retry_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between attempts.
    Selecting,
    /// An attempt is connecting, or its response is awaited.
    Attempting,
    /// A response goes to the client: no other attempt is made.
    Passing,
    /// The exchange has ended.
    Over,
}

impl Attempts {
    /// The attempts of an exchange that begins with this upstream. All must be over by `deadline`.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, demand: Demand, deadline: Instant, now: Instant) -> Self {
        Self {
            demand,
            deadline,
            phase: Phase::Selecting,
            upstream,
            fallback_depth: 0,
            lease: None,
            blamed: false,
            began: now,
            fresh_connection: false,
            http1_only: false,
            was_stale: false,
            verified_otherwise: false,
            next: NextAttempt::default(),
            excluded: Vec::new(),
            attempt_count: 0,
            total: 0,
            failure: None,
            discarded: None,
            retry_at: None,
        }
    }

    /// What is known about the request so far.
    pub fn demand(&mut self) -> &mut Demand {
        &mut self.demand
    }

    /// The upstream of the present attempt.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The server of the present attempt.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// When the present attempt began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Attempts in all. One on a fresh connection in the place of a stale one is not counted.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Whether the present attempt must not use a kept connection.
    #[must_use]
    pub fn wants_fresh_connection(&self) -> bool {
        self.fresh_connection
    }

    /// Whether the server takes the request in HTTP/1.1 alone.
    #[must_use]
    pub fn is_http1_only(&self) -> bool {
        self.http1_only
    }

    /// How long the attempts may take from now on.
    #[must_use]
    pub fn time_left(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }

    /// When the last attempt must be over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Decides what the event leads to.
    pub fn on(&mut self, event: Event<'_>, now: Instant) -> Action {
        if self.phase == Phase::Over {
            return Action::GiveUp(self.failure.unwrap_or(Failure::Internal));
        }
        match event {
            Event::ServerWanted if self.phase == Phase::Selecting => self.select(now),
            Event::QueueEnded(Ok(lease)) if self.phase == Phase::Selecting => self.connect(lease, now),
            Event::QueueEnded(Err(error)) if self.phase == Phase::Selecting => self.unavailable(error),
            // a second request for a server while an attempt is under way is a fault of the engine
            Event::ServerWanted | Event::QueueEnded(_) => self.give_up(Failure::Internal),
            Event::ConnectFailed(failure) => self.connect_failed(failure, now),
            Event::Answered { status, headers, replayable } => self.answered(status, headers, replayable, now),
            Event::Upgraded => self.pass(),
            Event::Broke { cause, replayable } => self.broke(cause, replayable, now),
            Event::ClientLeft => self.give_up(Failure::ClientGone),
            Event::TimeOver => self.give_up(Failure::TotalTimeout),
        }
    }

    /// Gives the server back. No other attempt is made.
    pub fn release(&mut self) {
        self.lease = None;
        self.next = NextAttempt::default();
        self.phase = Phase::Over;
    }

    /// Counts a failure against the server of the present attempt, once.
    pub fn blame(&mut self, failure: ServerFailure, now: Instant) {
        if let Some(lease) = &mut self.lease
            && !std::mem::replace(&mut self.blamed, true)
        {
            self.upstream.pool.failed(lease, failure, now.into_std());
        }
    }

    /// No connection was established, so nothing was sent and another attempt is always safe.
    fn connect_failed(&mut self, failure: ConnectFailure, now: Instant) -> Action {
        if self.is_out_of_time(now) {
            return self.give_up(Failure::TotalTimeout);
        }
        // the server is closing an HTTP/2 connection: the first time that is not counted as its failure
        if failure == ConnectFailure::Closing && !self.fresh_connection {
            return self.send_again(false, now);
        }
        if failure == ConnectFailure::OtherVerification && !std::mem::replace(&mut self.verified_otherwise, true) {
            return self.reconnect(failure.failure());
        }
        let failure = failure.failure();
        self.blame_for(failure, now);
        // the other addresses of its name are tried whatever `retry` says: in the YAML they are one server
        let server_index = self.lease.as_ref().map(Lease::server_index);
        self.exclude();
        let worth = self.upstream.retry.is_on(RetryOn::Connect);
        let planned = self.plan_address(server_index, now) || worth && self.plan_server(true, now);
        self.retry_or_give_up(planned, failure)
    }

    /// The head of a response has come. Its server is blamed for it, or cleared.
    fn answered(&mut self, status: StatusCode, headers: &HeaderMap, replayable: bool, now: Instant) -> Action {
        let code = status.as_u16();
        let hint = if code < 400 { RetryHint::default() } else { RetryHint::of(headers) };
        let callers_fault = hint.should_retry == Some(false);
        if self.upstream.ejects_on(code) && !callers_fault {
            let class = FailureClass::of_status(code);
            self.blame(ServerFailure { class, retry_after: hint.retry_after }, now);
        } else if let Some(lease) = &mut self.lease {
            self.upstream.pool.answered(lease, now.saturating_duration_since(self.began), now.into_std());
        }
        let named = RetryOn::of_status(code).is_some_and(|condition| self.upstream.retry.is_on(condition));
        let worth = !self.demand.once && !callers_fault && (named || hint.should_retry == Some(true));
        if worth && replayable && self.phase == Phase::Attempting && !self.is_out_of_time(now) {
            self.exclude();
            // with a response at hand no attempt waits in a queue
            if self.plan_server(false, now) {
                let retry_after = headers.get(RETRY_AFTER).cloned();
                self.discarded = Some(DiscardedResponse { status, retry_after });
                return self.retry_or_give_up(true, Failure::Status(code));
            }
        }
        self.pass()
    }

    /// The attempt broke after it was connected.
    fn broke(&mut self, cause: BreakCause, replayable: bool, now: Instant) -> Action {
        let failure = cause.failure(self.phase == Phase::Passing, self.is_out_of_time(now));
        let replayable = replayable && self.phase == Phase::Attempting && !self.is_out_of_time(now);
        match cause {
            // the server closed a kept connection just as it was used again, which is no failed attempt
            BreakCause::NotProcessed(Unprocessed::Unread) if replayable && !self.was_stale => {
                self.was_stale = true;
                self.reconnect(failure)
            }
            BreakCause::NotProcessed(why) if failure == Failure::NotProcessed => {
                if why == Unprocessed::Failing {
                    self.blame(FailureClass::Error.into(), now);
                }
                self.http1_only = why == Unprocessed::WantsHttp1;
                if !replayable {
                    return self.give_up(failure);
                }
                let elsewhere = matches!(why, Unprocessed::Failing | Unprocessed::Refused | Unprocessed::Unsent);
                self.send_again(elsewhere, now)
            }
            _ => {
                self.blame_for(failure, now);
                let retry = &self.upstream.retry;
                let may_repeat = !self.demand.once && (self.demand.idempotent || retry.is_on(RetryOn::NonIdempotent));
                let condition = match failure {
                    Failure::FirstByteTimeout | Failure::SendTimeout => Some(RetryOn::Timeout),
                    Failure::NoAnswer => Some(RetryOn::Error),
                    Failure::InvalidHeader => Some(RetryOn::InvalidHeader),
                    _ => None,
                };
                let worth = may_repeat && condition.is_some_and(|condition| retry.is_on(condition));
                self.exclude();
                let planned = replayable && worth && self.plan_server(true, now);
                self.retry_or_give_up(planned, failure)
            }
        }
    }

    /// The request was not processed, so it is sent again, whatever `retry.on` says: first of all to the same server on a fresh
    /// connection or, with `elsewhere`, to it only where no other server can take the request.
    fn send_again(&mut self, elsewhere: bool, now: Instant) -> Action {
        let planned = !elsewhere && self.plan_same_server(now) || {
            self.exclude();
            self.plan_unprocessed(elsewhere, now)
        };
        self.retry_or_give_up(planned, Failure::NotProcessed)
    }

    /// Connects to the same server again, which is no other attempt.
    fn reconnect(&mut self, failure: Failure) -> Action {
        self.next = NextAttempt::SameServer;
        self.failure = Some(failure);
        self.phase = Phase::Selecting;
        Action::Reconnect
    }

    fn retry_or_give_up(&mut self, planned: bool, failure: Failure) -> Action {
        if !planned {
            return self.give_up(failure);
        }
        self.failure = Some(failure);
        self.phase = Phase::Selecting;
        Action::Retry(failure)
    }

    fn give_up(&mut self, failure: Failure) -> Action {
        self.release();
        self.failure = Some(failure);
        Action::GiveUp(failure)
    }

    fn pass(&mut self) -> Action {
        self.phase = Phase::Passing;
        self.failure = None;
        Action::Pass
    }

    fn blame_for(&mut self, failure: Failure, now: Instant) {
        if let Some(class) = failure.class() {
            self.blame(class.into(), now);
        }
    }

    fn is_out_of_time(&self, now: Instant) -> bool {
        self.deadline <= now
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
