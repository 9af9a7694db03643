//! Plans the next attempt while the present one ends: on which server, or where to wait for one.

use tokio::time::Instant;

use crate::balance::{Lease, SelectError, SelectParams};

use super::Attempts;

/// The next attempt.
#[derive(Debug)]
pub(super) enum NextAttempt {
    /// On any server of the fallback that so many lead to; 0 is the present upstream.
    Any {
        /// Fallbacks to move to first. Until then, logs name the current upstream.
        fallbacks: usize,
    },
    /// On this server, of the fallback that so many lead to.
    Leased {
        /// The server, taken so that it is certain that there is one.
        lease: Lease,
        /// Fallbacks to move to first.
        fallbacks: usize,
    },
    /// On the present server, over a fresh connection.
    SameServer,
}

impl Default for NextAttempt {
    fn default() -> Self {
        Self::Any { fallbacks: 0 }
    }
}

impl Attempts {
    /// Plans an attempt on another server: of this upstream if it has one left and the attempts and the budget allow it, or
    /// else of a fallback. `false` if there is none, and no queue to wait in either.
    pub(super) fn plan_server(&mut self, may_wait: bool, now: Instant) -> bool {
        match self.lease_another(now) {
            Ok(lease) => self.plan(lease, 0),
            Err(error) if may_wait && self.may_queue(error) => self.plan_wait(0),
            Err(_) => self.plan_fallback(may_wait, now),
        }
    }

    /// Plans another attempt for a request that was not processed, on another server or, with `same_as_well`, on the same where
    /// there is no other.
    pub(super) fn plan_unprocessed(&mut self, same_as_well: bool, now: Instant) -> bool {
        match self.lease_another(now) {
            Ok(lease) => self.plan(lease, 0),
            Err(_) if same_as_well && self.plan_same_server(now) => true,
            Err(error) if self.may_queue(error) => self.plan_wait(0),
            Err(_) => self.plan_fallback(true, now),
        }
    }

    /// Plans another attempt on the present server, if the attempts and the budget allow it.
    pub(super) fn plan_same_server(&mut self, now: Instant) -> bool {
        let retry = &self.upstream.retry;
        let left = self.lease.is_some() && self.attempt_count < retry.attempts;
        if !left || !self.upstream.pool.allows_another(retry.budget, now.into_std()) {
            return false;
        }
        self.attempt_count += 1;
        self.total += 1;
        self.next = NextAttempt::SameServer;
        true
    }

    /// Plans an attempt on another address of a server of the YAML, which costs no attempt and nothing of the budget.
    pub(super) fn plan_address(&mut self, server_index: Option<usize>, now: Instant) -> bool {
        if server_index.is_none() {
            return false;
        }
        let params = SelectParams { server_index, budget: None, ..self.params(now) };
        let Ok(lease) = self.upstream.pool.lease(&params) else { return false };
        self.attempt_count = self.attempt_count.saturating_sub(1);
        self.plan(lease, 0)
    }

    /// The present server is not tried again.
    pub(super) fn exclude(&mut self) {
        if let Some(lease) = &self.lease {
            self.excluded.push(lease.server().id());
        }
        (self.was_stale, self.verified_otherwise, self.http1_only) = (false, false, false);
    }

    fn plan_fallback(&mut self, may_wait: bool, now: Instant) -> bool {
        if self.demand.once {
            return false;
        }
        let upstream = self.upstream.clone();
        for (fallbacks, fallback) in upstream.chain().enumerate().skip(1) {
            let key = self.hash_key(fallbacks);
            // its own requests are what its budget is a share of, and this is one of them
            let params = SelectParams { tried: &[], budget: None, key, ..self.params(now) };
            match fallback.pool.lease(&params) {
                Ok(lease) => return self.plan(lease, fallbacks),
                Err(SelectError::Full(_)) if may_wait && fallback.pool.queue().is_some() => {
                    return self.plan_wait(fallbacks);
                }
                Err(_) => {}
            }
        }
        false
    }

    fn lease_another(&self, now: Instant) -> Result<Lease, SelectError> {
        if self.attempt_count >= self.upstream.retry.attempts {
            return Err(SelectError::NoServer(None));
        }
        self.upstream.pool.lease(&self.params(now))
    }

    /// The attempt under way gives its server back; the next one has another.
    fn plan(&mut self, lease: Lease, fallbacks: usize) -> bool {
        self.lease = None;
        self.next = NextAttempt::Leased { lease, fallbacks };
        true
    }

    fn plan_wait(&mut self, fallbacks: usize) -> bool {
        self.next = NextAttempt::Any { fallbacks };
        true
    }
}
