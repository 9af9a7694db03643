//! What the budgets say of a call for `tollgate explain`: those that it is held to, and what is reserved of them.

use plugin_api::{Context, Explanation, Refusal, Spender};

use crate::amounts::{dollars, word};
use crate::demand::Demand;
use crate::settings::{Reserve, Unknown};
use crate::{BudgetPlugin, Rule};

impl BudgetPlugin {
    /// Says which budgets a call is held to.
    ///
    /// # Errors
    /// A refusal that does not depend on what was spent.
    pub(crate) fn explain(
        &self,
        context: &Context,
        model: Option<&str>,
        demand: Demand,
        explanation: &mut Explanation,
    ) -> Result<(), Refusal> {
        let Some((picos, _)) = self.amount(demand, model)? else {
            explanation.say("it costs nothing");
            return Ok(());
        };
        let caller = context.principal();
        let model = self.shared.canonical_model(model);
        let spender = Spender {
            tenant: caller.tenant.as_deref(),
            key: caller.key_name.as_deref(),
            user: caller.user.as_deref(),
            model: model.as_deref(),
        };
        for rule in &self.rules {
            let Rule { budget, terms } = rule;
            let (whose, unit) = (budget.of.by.describe(&spender), word(budget.of.unit));
            let (name, limit, held) = (&budget.of.name, dollars(terms.limit.capacity()), dollars(picos));
            explanation
                .say(format!("budget `{name}` is {limit} per {unit} for {whose}, of which this reserves {held}"));
            if self.config.reserve == Reserve::MaxTokens && picos > terms.limit.capacity() {
                return Err(self.too_dear(rule, &spender, &budget.account(&spender), picos, self.shared.now()));
            }
        }
        if !self.rules.is_empty() {
            explanation.depends_on("what has been spent of these budgets");
        }
        if self.config.unknown == Unknown::Refuse {
            explanation.depends_on("whether it is known what was spent: until then it is refused");
        }
        Ok(())
    }
}
