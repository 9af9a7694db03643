//! What callers have spent of their budgets, from the plugin that counts it to those that decide by it. Counts nothing itself.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

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
}

impl BudgetUse {
    /// Says who counts, for as long as it exists. The first one stays.
    pub fn set(&self, reader: &Arc<dyn BudgetReader>) {
        // plugins of one kind share what they count
        let _ = self.0.set(Arc::downgrade(reader));
    }

    /// What a caller has spent of the budget that is nearest to its end: [`BudgetReader::highest_share`].
    #[must_use]
    pub fn highest(&self, spender: &Spender<'_>) -> Option<f64> {
        self.0.get()?.upgrade()?.highest_share(spender)
    }
}
