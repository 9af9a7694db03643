//! When another server is tried: the settings of retries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When another server is tried. Only while nothing has reached the client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included; 1 is a single try.
    pub attempts: Attempts,
    /// What makes an attempt worth another. An answer of 400 or above has the last word on itself: with
    /// `x-should-retry: true` it is worth another whatever its status, with `false` it is not.
    pub on: Vec<RetryOn>,
    /// How many of all attempts may be further ones, against storms: this share of the requests of the last 10 s, and 10 a
    /// second besides. The first attempt on a fallback is outside of it, and so is one on another address of a name that
    /// could not be connected to.
    pub budget: Share,
    /// Whether a request that was sent in full and met with silence or a broken connection, and so may have been carried
    /// out, is tried again although its method is not idempotent (RFC 9110 §9.2.2): POST, PATCH and all but GET, HEAD,
    /// OPTIONS, TRACE, PUT and DELETE. In any case, a request on a kept HTTP/1.1 connection is sent again, to the same
    /// server on a new connection, if the server had closed the kept one before any of the request arrived. Linux tells
    /// that by TCP's acknowledgements; a connection that is reset does not count. A request that an HTTP/2 server says
    /// that it has not processed (`REFUSED_STREAM`, or `GOAWAY` with an earlier stream; RFC 9113 §8.7) is sent again too,
    /// within `attempts` and `budget`.
    pub non_idempotent: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: Attempts(2),
            on: vec![RetryOn::Connect, RetryOn::Http429, RetryOn::Http502, RetryOn::Http503, RetryOn::Http529],
            budget: Share(20),
            non_idempotent: false,
        }
    }
}

/// A number of attempts, 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(extend("minimum" = 1, "maximum" = 10))]
pub struct Attempts(u8);

impl Attempts {
    /// As a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.into()
    }
}

impl TryFrom<u64> for Attempts {
    type Error = String;

    fn try_from(attempts: u64) -> Result<Self, String> {
        match u8::try_from(attempts) {
            Ok(attempts @ 1..=10) => Ok(Self(attempts)),
            _ => Err(format!("attempts is {attempts}; it must be 1 (a single try) to 10")),
        }
    }
}

/// What makes an attempt worth another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No connection came about: nothing was sent.
    Connect,
    /// The connection broke before the head of an answer.
    Error,
    /// What came was not HTTP.
    InvalidHeader,
    /// No answer began within `first_byte`.
    Timeout,
    /// As `non_idempotent: true`: nginx has it in this list.
    NonIdempotent,
    /// The answer 403. Counts against no server.
    #[serde(rename = "http_403")]
    Http403,
    /// The answer 404. Counts against no server.
    #[serde(rename = "http_404")]
    Http404,
    /// The answer 429.
    #[serde(rename = "http_429")]
    Http429,
    /// The answer 500.
    #[serde(rename = "http_500")]
    Http500,
    /// The answer 502.
    #[serde(rename = "http_502")]
    Http502,
    /// The answer 503.
    #[serde(rename = "http_503")]
    Http503,
    /// The answer 504.
    #[serde(rename = "http_504")]
    Http504,
    /// The answer 529 (Anthropic's "overloaded").
    #[serde(rename = "http_529")]
    Http529,
}

impl RetryOn {
    /// The condition that an answer with this status meets.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            403 => Self::Http403,
            404 => Self::Http404,
            429 => Self::Http429,
            500 => Self::Http500,
            502 => Self::Http502,
            503 => Self::Http503,
            504 => Self::Http504,
            529 => Self::Http529,
            _ => return None,
        })
    }
}

/// A share in percent, as the YAML writes it: `20%`; 0 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Share(u16);

impl Share {
    /// In percent.
    #[must_use]
    pub fn percent(self) -> u64 {
        self.0.into()
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let percent = written.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        percent
            .filter(|percent| *percent <= 1000)
            .map(Self)
            .ok_or_else(|| format!("`{written}` is not a share; write it like `20%`, at most `1000%`"))
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        format!("{}%", share.0)
    }
}
