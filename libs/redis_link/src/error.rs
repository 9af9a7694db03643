//! Why an operation was not done.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What a node of a cluster means by `MOVED`.
const MOVED: &str = "the key is on another node of a Redis Cluster; to use one, name its nodes under `cluster`, not one of them as `url`";

/// Why an operation was not done. None of them tells an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// It was skipped: the circuit breaker is open.
    Open,
    /// It was skipped: too many operations are under way.
    Busy,
    /// It was not done in time. Redis may do it nevertheless.
    Timeout,
    /// There is no connection, or it broke. Redis may have done it.
    Connection(String),
    /// Redis answered with an error of this category.
    Refused(String),
}

impl LinkError {
    /// A word for metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Connection(_) => "connection",
            Self::Refused(_) => "refused",
        }
    }

    /// Whether it says that Redis does not do its work: the circuit breaker counts it.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Timeout | Self::Connection(_))
    }

    pub(crate) fn not_connected() -> Self {
        Self::Connection("not connected".into())
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        let is_broken = error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_unrecoverable_error();
        // its text may hold the address, and with it a password
        let category = match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => MOVED.to_owned(),
            _ => error.category().to_owned(),
        };
        if is_broken { Self::Connection(category) } else { Self::Refused(category) }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("skipped, as redis fails"),
            Self::Busy => f.write_str("skipped, as too many operations are under way"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Connection(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for LinkError {}
