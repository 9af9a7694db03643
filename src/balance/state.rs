//! The state of a server as logs, metrics and the admin API name it.

use std::time::Instant;

/// The result of active health checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// The server is not checked, or had no check yet. It takes requests.
    #[default]
    Unknown,
    /// The checks pass.
    Healthy,
    /// The checks fail. The server takes no requests.
    Unhealthy,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes its share of requests.
    Up,
    /// The YAML says `down`.
    Down,
    /// Its health checks fail.
    Unhealthy,
    /// It failed and takes no requests until this time.
    Ejected(Instant),
    /// Its ejection is over. The next request, or the one in flight, shows whether it answers again.
    Probing,
}

impl State {
    /// The name of the state.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unhealthy => "unhealthy",
            Self::Ejected(_) => "ejected",
            Self::Probing => "probing",
        }
    }
}
