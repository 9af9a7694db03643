//! Keeps room for an answer behind its thinking. The APIs want a thinking budget of at least 1024 tokens and below the
//! call's own limit, so whoever changes that limit must see to the budget.

use plugin_api::http::{HeaderMap, HeaderName};
use plugin_api::{CallFacts, Edit, ThinkingBudget};

use crate::refusal::Denial;

/// The smallest budget that the APIs take, in tokens.
const SMALLEST: u64 = 1024;

const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Whether a client lets its model think between calls of tools: then a budget spans several answers and may be above the
/// limit of each.
pub(crate) fn interleaves(headers: &HeaderMap) -> bool {
    let betas = headers.get_all(BETA).iter().filter_map(|line| line.to_str().ok());
    betas.flat_map(|line| line.split(',')).any(|beta| beta.trim().starts_with("interleaved-thinking"))
}

/// Lowers the budgets of a call whose limit goes from `before` to `after`, where they would no longer be below it. One that
/// was not below it before is none of our making; the upstream may say so.
///
/// # Errors
/// That there is no room for a budget.
pub(crate) fn fit(
    call: &CallFacts,
    before: u64,
    after: u64,
    interleaved: bool,
    edits: &mut Vec<Edit>,
) -> Result<(), Denial> {
    if interleaved && call.tools {
        return Ok(());
    }
    for budget in call.thinking_budgets.iter().filter(|budget| (after..before).contains(&budget.tokens)) {
        let lowered = after.saturating_sub(1);
        if lowered < SMALLEST {
            return Err(Denial::no_room(call, budget, after));
        }
        edits.push(Edit::lower_budget(budget, lowered));
    }
    Ok(())
}

/// The largest budget of a call.
pub(crate) fn largest(call: &CallFacts) -> u64 {
    call.thinking_budgets.iter().map(|budget: &ThinkingBudget| budget.tokens).max().unwrap_or(0)
}
