//! How many tokens a call lets its model think: `thinking.budget_tokens` of Anthropic, `reasoning.max_tokens` of `OpenRouter`.

use json_extract::decimal;
use json_tape::{Fault, Reader};

use super::key::Key;
use crate::facts::ThinkingBudget;

/// The members in which a call sets a budget, and the key of the number.
const BUDGETS: [(&str, &str); 2] = [("thinking", "budget_tokens"), ("reasoning", "max_tokens")];

/// The budgets in the value of this key; `None` where the key is another.
pub(super) fn member(key: &Key<'_>) -> Option<(&'static str, &'static str)> {
    BUDGETS.into_iter().find(|(member, _)| key.is(member).is_some())
}

/// Adds the budgets in the value of a member, which begins at `start` in the text. Thinking that is disabled has none, and neither
/// has what is no number.
pub(super) fn read(start: usize, member: (&'static str, &'static str), value: &str, budgets: &mut Vec<ThinkingBudget>) {
    if value.starts_with('{') {
        budgets.extend(found(start, member, value).unwrap_or_default());
    }
}

fn found(
    start: usize,
    (member, number): (&'static str, &'static str),
    value: &str,
) -> Result<Vec<ThinkingBudget>, Fault> {
    let mut reader = Reader::new(value, 0);
    reader.object()?;
    let mut budgets = Vec::new();
    let mut disabled = false;
    while let Some(key) = Key::next(&mut reader)? {
        let at = start + reader.at();
        let value = reader.value()?;
        if key.is(number).is_some() {
            if let Some(tokens) = decimal::whole(value) {
                budgets.push(ThinkingBudget { member, tokens, at: at..at + value.len() });
            }
        } else if *key.name == *b"type" {
            disabled = value == "\"disabled\"";
        }
    }
    if disabled {
        budgets.clear();
    }
    Ok(budgets)
}
