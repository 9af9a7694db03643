//! Where requests wait for a server: the settings of a queue.

use http::StatusCode;
use plugin_api::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A queue for the requests that find every server at its `max_conns`: first come, first served. A reload keeps them
/// waiting for the servers they came for: a new `max_conns` holds for them, too, but a server that it adds takes only those
/// that come after it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueSettings {
    /// How many may wait. One more is refused.
    pub size: u32,
    /// How long one may wait. Then it is refused.
    #[serde(default = "a_minute")]
    pub timeout: Period,
    /// The status of the refusal, which says `retry-after`.
    #[serde(default)]
    pub status: QueueStatus,
}

fn a_minute() -> Period {
    Period::from_secs(60)
}

/// How a request is refused that cannot wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(with = "u64", extend("enum" = [503, 429]))]
pub enum QueueStatus {
    /// 503: the service is unavailable.
    #[default]
    Unavailable,
    /// 429: too many requests.
    TooMany,
}

impl QueueStatus {
    /// As HTTP's type.
    #[must_use]
    pub fn code(self) -> StatusCode {
        match self {
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

impl TryFrom<u64> for QueueStatus {
    type Error = String;

    fn try_from(status: u64) -> Result<Self, String> {
        match status {
            503 => Ok(Self::Unavailable),
            429 => Ok(Self::TooMany),
            _ => Err(format!("status is {status}; it must be 503 or 429")),
        }
    }
}

impl From<QueueStatus> for u64 {
    fn from(status: QueueStatus) -> Self {
        status.code().as_u16().into()
    }
}
