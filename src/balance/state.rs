//! What a server is at a moment, in the words of logs, metrics and the admin API.

use std::time::Instant;

/// What active checks found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// There are none, or none has told yet. It takes requests.
    #[default]
    Unknown,
    /// They succeed.
    Healthy,
    /// They fail: it takes no requests.
    Unhealthy,
}

/// What a server is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes its share.
    Up,
    /// The YAML takes it out.
    Down,
    /// Its checks fail.
    Unhealthy,
    /// It failed and is left out until this time.
    Ejected(Instant),
    /// Its time is over: the next request, or the one under way, tells whether it answers again.
    Probing,
}

impl State {
    /// The word for it.
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
