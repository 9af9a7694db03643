//! Why a call is refused, in the words and the form that the caller gets.

use plugin_api::{CallFacts, ModelCall, Refusal, RefusalKind, ThinkingBudget, TokenField, TokenLimit};
use serde::Serialize;

use crate::ErrorFormat;

/// The longest number that is quoted to the caller.
const LONGEST_QUOTE: usize = 32;

/// Why a call is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It asks for more tokens than allowed.
    TooHigh {
        /// The number as the caller wrote it, and where, if there is more to say than `max_tokens`.
        asked: String,
        /// How many are allowed.
        most: u64,
    },
    /// It asks for something that is no number of tokens; where.
    NotANumber(String),
    /// Its number cannot be lowered or filled in without breaking another rule of its API; what is wrong.
    NoRoom(String),
    /// What it asks for cannot be told; why.
    Unreadable(String),
}

impl Denial {
    pub(crate) fn too_high(body: &ModelCall, call: &CallFacts, limit: &TokenLimit, most: u64) -> Self {
        let number = body.text().get(limit.at.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let number = number.filter(|number| number.len() <= LONGEST_QUOTE).unwrap_or("a number of many digits");
        let asked = match place(call, limit) {
            place if place == TokenField::MAX_TOKENS.as_str() => number.to_owned(),
            place => format!("{number} in {place}"),
        };
        Self::TooHigh { asked, most }
    }

    pub(crate) fn not_a_number(call: &CallFacts, limit: &TokenLimit) -> Self {
        Self::NotANumber(place(call, limit))
    }

    pub(crate) fn no_room(call: &CallFacts, budget: &ThinkingBudget, most: u64) -> Self {
        let name = if budget.member == "thinking" { "thinking.budget_tokens" } else { "reasoning.max_tokens" };
        let place = within(call, name);
        Self::NoRoom(format!(
            "{place} is {}, which leaves no room below the {most} tokens that are allowed",
            budget.tokens
        ))
    }

    pub(crate) fn too_few(call: &CallFacts, field: TokenField, most: u64, fewest: u64) -> Self {
        let place = within(call, field.as_str());
        Self::NoRoom(format!("{place} must be at least {fewest}, and no more than {most} tokens are allowed"))
    }

    /// What the gateway makes the caller's answer of.
    pub(crate) fn refusal(&self, format: ErrorFormat) -> Refusal {
        let refusal = Refusal::new(RefusalKind::InvalidRequest, self.reason(), self.message());
        match format {
            ErrorFormat::Dialect => refusal,
            ErrorFormat::Plain => refusal.with_body(self.plain()),
        }
    }

    /// The word for it in the record, in metrics and in logs.
    fn reason(&self) -> &'static str {
        match self {
            Self::TooHigh { .. } => "too_high",
            Self::NotANumber(_) => "not_a_number",
            Self::NoRoom(_) => "no_room",
            Self::Unreadable(_) => "unreadable",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::TooHigh { asked, most } => format!("max_tokens too high: {asked}. Maximum allowed tokens is {most}"),
            Self::NoRoom(what) => format!("max_tokens too high: {what}"),
            Self::NotANumber(place) => format!("{place}: must be a whole number of tokens, 0 or more"),
            Self::Unreadable(reason) => {
                format!("the body of the request cannot be read for certain, so its max_tokens is not known: {reason}")
            }
        }
    }

    fn plain(&self) -> String {
        let (error, message) = match self {
            Self::TooHigh { most, .. } => ("max_tokens too high", format!("Maximum allowed tokens is {most}")),
            Self::NoRoom(_) => ("max_tokens too high", self.message()),
            Self::NotANumber(_) | Self::Unreadable(_) => ("max_tokens invalid", self.message()),
        };
        serde_json::to_string(&Plain { error, message }).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Plain {
    error: &'static str,
    message: String,
}

/// Where a limit stands, as the APIs themselves write such places.
fn place(call: &CallFacts, limit: &TokenLimit) -> String {
    within(call, limit.field.as_str())
}

fn within(call: &CallFacts, name: &str) -> String {
    match call.place {
        Some(place) => format!("requests.{place}.params.{name}"),
        None => name.to_owned(),
    }
}
