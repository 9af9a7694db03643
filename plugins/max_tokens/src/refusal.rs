//! Why a call is refused, in the words and the form that the caller gets.

use plugin_api::http::StatusCode;
use plugin_api::{Call, Dialect, ErrorKind, ModelCall, Reply, TokenField, TokenLimit, Uuid};
use serde::Serialize;

use crate::ErrorFormat;

/// The longest number that is quoted to the caller.
const LONGEST_QUOTE: usize = 32;

/// Why a call is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It asks for more tokens than allowed.
    TooHigh {
        /// The number as the caller wrote it, and where, if there is more to say than `max_tokens`.
        asked: String,
        /// How many are allowed.
        most: u64,
    },
    /// It asks for something that is no number of tokens; where.
    NotANumber(String),
    /// What it asks for cannot be told; why.
    Unreadable(String),
}

impl Refusal {
    pub(crate) fn too_high(body: &ModelCall, call: &Call, limit: &TokenLimit, most: u64) -> Self {
        let number = body.text().get(limit.at.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let number = number.filter(|number| number.len() <= LONGEST_QUOTE).unwrap_or("a number of many digits");
        let asked = match place(call, limit) {
            place if place == TokenField::MaxTokens.as_str() => number.to_owned(),
            place => format!("{number} in {place}"),
        };
        Self::TooHigh { asked, most }
    }

    pub(crate) fn not_a_number(call: &Call, limit: &TokenLimit) -> Self {
        Self::NotANumber(place(call, limit))
    }

    /// The answer that the caller gets.
    pub(crate) fn reply(&self, format: ErrorFormat, dialect: Dialect, id: Uuid) -> Reply {
        match format {
            ErrorFormat::Dialect => Reply::error(dialect, ErrorKind::InvalidRequest, &self.message(), id),
            ErrorFormat::Plain => self.plain(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::TooHigh { asked, most } => format!("max_tokens too high: {asked}. Maximum allowed tokens is {most}"),
            Self::NotANumber(place) => format!("{place}: must be a whole number of tokens, 0 or more"),
            Self::Unreadable(reason) => {
                format!("the body of the request cannot be read for certain, so its max_tokens is not known: {reason}")
            }
        }
    }

    fn plain(&self) -> Reply {
        let (error, message) = match self {
            Self::TooHigh { most, .. } => ("max_tokens too high", format!("Maximum allowed tokens is {most}")),
            Self::NotANumber(_) | Self::Unreadable(_) => ("max_tokens invalid", self.message()),
        };
        let body = serde_json::to_string(&Plain { error, message }).unwrap_or_default();
        Reply::json(StatusCode::BAD_REQUEST, body).not_to_be_retried()
    }
}

#[derive(Serialize)]
struct Plain {
    error: &'static str,
    message: String,
}

/// Where a limit stands, as the APIs themselves write such places.
fn place(call: &Call, limit: &TokenLimit) -> String {
    match call.place {
        Some(place) => format!("requests.{place}.params.{}", limit.field.as_str()),
        None => limit.field.as_str().to_owned(),
    }
}
