//! The values that arguments and headers may have: how many tokens, which status, how often.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;

/// Anthropic's "overloaded", which no registry of statuses has.
pub(super) const OVERLOADED: StatusCode = match StatusCode::from_u16(529) {
    Ok(status) => status,
    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
};

/// Reads a number of output tokens. The bound keeps an answer in memory.
pub(super) fn tokens(text: &str) -> Result<u64, String> {
    const MOST: u64 = 1_000_000;
    text.parse()
        .ok()
        .filter(|tokens| *tokens <= MOST)
        .ok_or_else(|| format!("`{text}` is not a number of tokens from 0 to {MOST}"))
}

/// Reads the status of a refusal.
pub(super) fn error_status(text: &str) -> Result<StatusCode, String> {
    text.parse::<StatusCode>()
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .ok_or_else(|| format!("`{text}` is not a status from 400 to 599"))
}

/// A share of all calls, from 0 (none) to 1 (all).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// None at all.
    pub const NEVER: Self = Self(0.0);

    /// Whether a call with this random number belongs to the share.
    pub(super) fn hits(self, draw: u64) -> bool {
        const BITS: u32 = f64::MANTISSA_DIGITS;
        ((draw >> (u64::BITS - BITS)) as f64) < self.0 * (1_u64 << BITS) as f64
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a share from 0 to 1"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
