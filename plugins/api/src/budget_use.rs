//! What callers have spent of their budgets, from the plugin that counts it to those that decide by it, and what is reserved for calls
//! that outlive their requests. Counts nothing itself.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::Spender;

/// What callers have spent of their budgets. Nothing, until a plugin counts it.
#[derive(Debug, Default)]
pub struct BudgetUse {
    reader: OnceLock<Weak<dyn BudgetReader>>,
    pending: Arc<Pending>,
}

/// How many plugins have yet to hold again what an earlier process held.
#[derive(Debug, Default)]
struct Pending {
    count: AtomicUsize,
    ended: Notify,
}

/// Budgets let calls wait until this is dropped: [`BudgetUse::restoring`].
#[derive(Debug)]
pub struct Restoring(Arc<Pending>);

/// A plugin that counts what is spent of budgets.
pub trait BudgetReader: fmt::Debug + Send + Sync {
    /// What a caller has spent of the budget that is nearest to its end, reservations included; 1 is all of it. `None` where no budget
    /// is the caller's. Budgets by model are left out where the spender names none. Called in line with a request: be quick, never
    /// block.
    fn highest_share(&self, spender: &Spender<'_>) -> Option<f64>;

    /// Reserves what a call may cost that goes on without a request, however little is left: it will be billed.
    fn hold(&self, cost: &DeferredCost) -> Box<dyn HeldCost>;
}

/// What budgets reserve for a call that a batch may answer after its request is over. It is kept with the call, over restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeferredCost {
    /// What the call may cost, in picodollars.
    pub picos: u64,
    /// When it began, in seconds since 1970, UTC: it is of the budgets of that day, week or month.
    pub began: i64,
    /// Who pays, by the names that budgets know.
    pub tenant: Option<String>,
    /// The name of the API key.
    pub key: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The model.
    pub model: Option<String>,
}

/// What is reserved of budgets. Dropped, it is given back.
pub trait HeldCost: fmt::Debug + Send {}

impl Drop for Restoring {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_waiters();
    }
}

impl BudgetUse {
    /// Calls of an earlier process may be billed, and what they may cost is yet to be [held](Self::hold) again. Until what this returns is
    /// dropped, no call is let pass by its budget: be quick.
    #[must_use]
    pub fn restoring(&self) -> Restoring {
        self.pending.count.fetch_add(1, Ordering::AcqRel);
        Restoring(self.pending.clone())
    }

    /// Whether all that an earlier process held is held again.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.pending.count.load(Ordering::Acquire) == 0
    }

    /// Waits for [`is_restored`](Self::is_restored).
    pub async fn restored(&self) {
        loop {
            let mut ended = pin!(self.pending.ended.notified());
            // before the look, so that an end between the two is seen
            ended.as_mut().enable();
            if self.is_restored() {
                return;
            }
            ended.await;
        }
    }

    /// Says who counts, for as long as it exists. The first one stays.
    pub fn set(&self, reader: &Arc<dyn BudgetReader>) {
        // plugins of one kind share what they count
        let _ = self.reader.set(Arc::downgrade(reader));
    }

    /// Reserves what a call may cost that goes on without a request: [`BudgetReader::hold`]. `None` where nothing counts.
    #[must_use]
    pub fn hold(&self, cost: &DeferredCost) -> Option<Box<dyn HeldCost>> {
        Some(self.reader.get()?.upgrade()?.hold(cost))
    }

    /// What a caller has spent of the budget that is nearest to its end: [`BudgetReader::highest_share`].
    #[must_use]
    pub fn highest(&self, spender: &Spender<'_>) -> Option<f64> {
        self.reader.get()?.upgrade()?.highest_share(spender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_wait_until_all_is_held_again() {
        let budgets = BudgetUse::default();
        budgets.restored().await;
        let (one, other) = (budgets.restoring(), budgets.restoring());
        let mut waits = pin!(budgets.restored());
        assert!(at_once(waits.as_mut()).await.is_none());
        drop(one);
        assert!(at_once(waits.as_mut()).await.is_none() && !budgets.is_restored());
        drop(other);
        waits.await;
    }

    /// What a future gives at once.
    async fn at_once<F: Future + Unpin>(future: F) -> Option<F::Output> {
        tokio::select! { biased; output = future => Some(output), () = std::future::ready(()) => None }
    }
}
