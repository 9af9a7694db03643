//! What callers have spent of their budgets, from the plugin that counts it to those that decide by it, and what is reserved for calls
//! that outlive their requests. Counts nothing itself.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use serde::{Deserialize, Serialize};

use crate::Spender;

/// What callers have spent of their budgets. Nothing, until a plugin counts it.
#[derive(Debug, Default)]
pub struct BudgetUse(OnceLock<Weak<dyn BudgetReader>>);

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

impl BudgetUse {
    /// Says who counts, for as long as it exists. The first one stays.
    pub fn set(&self, reader: &Arc<dyn BudgetReader>) {
        // plugins of one kind share what they count
        let _ = self.0.set(Arc::downgrade(reader));
    }

    /// Reserves what a call may cost that goes on without a request: [`BudgetReader::hold`]. `None` where nothing counts.
    #[must_use]
    pub fn hold(&self, cost: &DeferredCost) -> Option<Box<dyn HeldCost>> {
        Some(self.0.get()?.upgrade()?.hold(cost))
    }

    /// What a caller has spent of the budget that is nearest to its end: [`BudgetReader::highest_share`].
    #[must_use]
    pub fn highest(&self, spender: &Spender<'_>) -> Option<f64> {
        self.0.get()?.upgrade()?.highest_share(spender)
    }
}
