//! How many tokens a call lets its model think: `thinking.budget_tokens` of Anthropic, `reasoning.max_tokens` of `OpenRouter`.

use std::fmt;

use json_extract::decimal;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::key::{Key, Place};
use crate::facts::ThinkingBudget;

/// The members in which a call sets a budget, and the key of the number.
const BUDGETS: [(&str, &str); 2] = [("thinking", "budget_tokens"), ("reasoning", "max_tokens")];

/// The budgets in the value of this key, a part of the text of `place`; `None` where the key is another.
pub(super) fn member(key: &Key<'_>) -> Option<(&'static str, &'static str)> {
    BUDGETS.into_iter().find(|(member, _)| key.is(member).is_some())
}

/// Adds the budgets in the value of a member. Thinking that is disabled has none, and neither has what is no number.
pub(super) fn read<'de>(
    place: Place<'de>,
    (member, number): (&'static str, &'static str),
    value: &'de str,
    budgets: &mut Vec<ThinkingBudget>,
) {
    if value.starts_with('{') {
        let found = serde_json::Deserializer::from_str(value).deserialize_map(Budgets { place, member, number });
        budgets.extend(found.unwrap_or_default());
    }
}

struct Budgets<'de> {
    place: Place<'de>,
    member: &'static str,
    number: &'static str,
}

impl<'de> Visitor<'de> for Budgets<'de> {
    type Value = Vec<ThinkingBudget>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings of thinking")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut budgets = Vec::new();
        let mut disabled = false;
        while let Some(key) = Key::next(&mut map, self.place)? {
            if key.is(self.number).is_some() {
                let value = map.next_value::<&'de RawValue>()?.get();
                let start = self.place.of(value).at;
                if let Some(tokens) = decimal::whole(value) {
                    budgets.push(ThinkingBudget { member: self.member, tokens, at: start..start + value.len() });
                }
            } else if *key.name == *b"type" {
                disabled = map.next_value::<&'de RawValue>()?.get() == "\"disabled\"";
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if disabled {
            budgets.clear();
        }
        Ok(budgets)
    }
}
