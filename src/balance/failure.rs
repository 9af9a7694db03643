//! How an attempt can fail that counts against its server.

use std::time::Duration;

/// A failed attempt, as its server is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFailure {
    /// What it was.
    pub class: FailureClass,
    /// For how long the server asked to be left alone (`retry-after`).
    pub retry_after: Option<Duration>,
}

impl From<FailureClass> for ServerFailure {
    fn from(class: FailureClass) -> Self {
        Self { class, retry_after: None }
    }
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// No connection came about, TLS included, be it refused or too slow.
    Connect,
    /// No answer began in time, or it paused too long.
    Timeout,
    /// The connection broke before the answer's end.
    Error,
    /// What came was not HTTP.
    InvalidHeader,
    /// The answer 429.
    Http429,
    /// The answer 500.
    Http500,
    /// The answer 502.
    Http502,
    /// The answer 503.
    Http503,
    /// The answer 504.
    Http504,
    /// The answer 529.
    Http529,
    /// Another answer that counts as a failure.
    HttpOther,
}

impl FailureClass {
    /// All of them, in the order of their counters.
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

    /// An answer with this status.
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

    /// The word for it in logs, metrics and the admin API; nginx's where it has one.
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
