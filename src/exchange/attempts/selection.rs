//! Carries out what was planned when the next attempt begins: the server taken, the queue waited in, the fallback moved to.

use http::StatusCode;
use tokio::time::Instant;

use crate::balance::{Lease, SelectError, SelectParams};
use crate::exchange::failure::Failure;

use super::next::NextAttempt;
use super::{Action, Attempts, Phase};

impl Attempts {
    /// Waits in the queue of the present upstream. Answers with what [`Event::QueueEnded`](super::Event::QueueEnded) takes.
    pub async fn wait(&self, error: SelectError, now: Instant) -> Result<Lease, SelectError> {
        self.upstream.pool.wait(&self.params(now), error).await
    }

    /// The next attempt begins.
    pub(super) fn select(&mut self, now: Instant) -> Action {
        let next = std::mem::take(&mut self.next);
        let (lease, fallbacks) = match next {
            NextAttempt::SameServer => return self.begin(true, now),
            NextAttempt::Leased { lease, fallbacks } => (Some(lease), fallbacks),
            NextAttempt::Any { fallbacks } => (None, fallbacks),
        };
        self.lease = None;
        if let Some(left) = fallbacks.checked_sub(1) {
            self.next = match lease {
                Some(lease) => NextAttempt::Leased { lease, fallbacks: left },
                None => NextAttempt::Any { fallbacks: left },
            };
            return self.fail_over().unwrap_or(Action::GiveUp(Failure::Internal));
        }
        match lease {
            Some(lease) => self.connect(lease, now),
            None => match self.upstream.pool.lease(&self.params(now)) {
                Ok(lease) => self.connect(lease, now),
                Err(error) if self.may_queue(error) => Action::Wait(error),
                Err(error) => self.unavailable(error),
            },
        }
    }

    /// An attempt begins on this server.
    pub(super) fn connect(&mut self, lease: Lease, now: Instant) -> Action {
        self.attempt_count += 1;
        self.total += 1;
        self.lease = Some(lease);
        self.begin(false, now)
    }

    /// No server of the present upstream can take the request.
    pub(super) fn unavailable(&mut self, error: SelectError) -> Action {
        if let Some(action) = self.fail_over() {
            return action;
        }
        let pool = &self.upstream.pool;
        let failure = match error {
            SelectError::NoServer(_) if pool.is_unresolved() => Failure::Unresolved,
            SelectError::NoServer(_) | SelectError::BudgetExhausted => Failure::NoServer,
            SelectError::Full(_) => Failure::Full(StatusCode::SERVICE_UNAVAILABLE),
            SelectError::QueueFull | SelectError::QueueTimeout => {
                Failure::Full(pool.queue().map(|queue| queue.status).unwrap_or_default().code())
            }
        };
        if let SelectError::NoServer(Some(then)) | SelectError::Full(Some(then)) = error {
            self.retry_at = Some(then.into());
        }
        // of an attempt that was made, its own failure says more
        self.give_up(self.failure.unwrap_or(failure))
    }

    /// Whether the request may wait for a server of the present upstream.
    pub(super) fn may_queue(&self, error: SelectError) -> bool {
        matches!(error, SelectError::Full(_)) && self.upstream.pool.queue().is_some()
    }

    /// What is asked of the present upstream's pool.
    pub(super) fn params(&self, now: Instant) -> SelectParams<'_> {
        SelectParams {
            now: now.into_std(),
            tried: &self.excluded,
            tokens: self.demand.tokens,
            key: self.hash_key(0),
            server_index: None,
            budget: (!self.excluded.is_empty()).then_some(self.upstream.retry.budget),
        }
    }

    /// What the upstream hashes that so many fallbacks lead to.
    pub(super) fn hash_key(&self, fallbacks: usize) -> Option<u64> {
        self.demand.hash_keys.get(self.fallback_depth + fallbacks).copied().flatten()
    }

    fn begin(&mut self, fresh_connection: bool, now: Instant) -> Action {
        (self.began, self.blamed, self.fresh_connection) = (now, false, fresh_connection);
        self.phase = Phase::Attempting;
        Action::Connect
    }

    /// Moves to the fallback of the present upstream, if it has one.
    fn fail_over(&mut self) -> Option<Action> {
        let (fallback, _) = self.upstream.fallback.as_ref().filter(|_| !self.demand.once)?;
        let fallback = fallback.clone();
        let exhausted = std::mem::replace(&mut self.upstream, fallback);
        self.lease = None;
        self.excluded.clear();
        self.attempt_count = 0;
        self.fallback_depth += 1;
        Some(Action::FailOver(exhausted))
    }
}
