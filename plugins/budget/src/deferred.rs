//! What stays reserved for calls that go on without their requests, in batches. Each is given back once its cost is in the ledger.

use plugin_api::{DeferredCost, HeldCost, LONGEST_TEXT, Principal, Spender, stored_text};
use quota::{Claim, Now, reserve_in_any_case};

use crate::in_flight::Held;
use crate::shared::Shared;

impl Shared {
    /// What is reserved for a call now, so that it can be reserved again. Budgets of other routes may go by more of its caller's texts
    /// than those of its own route.
    pub(crate) fn deferred_cost(&self, caller: &Principal, model: Option<&str>, picos: u64, now: Now) -> DeferredCost {
        // as its row has it
        let text = |text: Option<&str>| text.map(|text| stored_text(text, LONGEST_TEXT).into_owned());
        DeferredCost {
            picos,
            began: now.unix,
            tenant: text(caller.tenant.as_deref()),
            key: text(caller.key_name.as_deref()),
            user: text(caller.user.as_deref()),
            model: self.canonical_model(text(model).as_deref()),
        }
    }

    /// Reserves that of every budget in whose present span of time the call began: it counts for no other.
    pub(crate) fn hold_deferred(&self, cost: &DeferredCost) -> Held {
        let now = self.now();
        let DeferredCost { tenant, key, user, model, .. } = cost;
        let (tenant, key) = (tenant.as_deref(), key.as_deref());
        let spender = Spender { tenant, key, user: user.as_deref(), model: model.as_deref() };
        let budgets = self.budgets().into_iter().filter(|budget| budget.of.window(now).0 <= cost.began);
        let (accounts, claims) = budgets
            .map(|budget| {
                let account = budget.account(&spender);
                let claim = Claim::hold(account.meter.clone(), budget.terms().limit, cost.picos);
                (account, claim)
            })
            .unzip();
        Held::new(accounts, reserve_in_any_case(claims, now))
    }
}

impl HeldCost for Held {}
