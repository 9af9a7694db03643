//! Failures of attempts that count against a server.

use std::time::Duration;

/// A failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFailure {
    /// How it failed.
    pub class: FailureClass,
    /// The server's `retry-after`.
    pub retry_after: Option<Duration>,
}

impl From<FailureClass> for ServerFailure {
    fn from(class: FailureClass) -> Self {
        Self { class, retry_after: None }
    }
}

/// The classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// No connection, TLS included: refused or too slow.
    Connect,
    /// The response did not begin in time, or paused too long.
    Timeout,
    /// The connection broke before the end of the response.
    Error,
    /// The response was not HTTP.
    InvalidHeader,
    /// Status 429.
    Http429,
    /// Status 500.
    Http500,
    /// Status 502.
    Http502,
    /// Status 503.
    Http503,
    /// Status 504.
    Http504,
    /// Status 529.
    Http529,
    /// Another status that counts as a failure.
    HttpOther,
}

impl FailureClass {
    /// All classes, in the order of their counters.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Timeout,
        Self::Error,
        Self::InvalidHeader,
        Self::Http429,
        Self::Http500,
        Self::Http502,
        Self::Http503,
        Self::Http504,
        Self::Http529,
        Self::HttpOther,
    ];

    /// The class of a status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Http429,
            500 => Self::Http500,
            502 => Self::Http502,
            503 => Self::Http503,
            504 => Self::Http504,
            529 => Self::Http529,
            _ => Self::HttpOther,
        }
    }

    /// The name in logs, metrics and the admin API; nginx's name where there is one.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::InvalidHeader => "invalid_header",
            Self::Http429 => "http_429",
            Self::Http500 => "http_500",
            Self::Http502 => "http_502",
            Self::Http503 => "http_503",
            Self::Http504 => "http_504",
            Self::Http529 => "http_529",
            Self::HttpOther => "http_other",
        }
    }

    pub(super) fn at(self) -> usize {
        self as usize
    }
}
