//! Why a call goes past the cache, in a word for the metrics.

/// What keeps a call out of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// Its client forbids it.
    Client,
    /// Nobody knows whose it is.
    NoTenant,
    /// Its body cannot be read for certain, or can be read in two ways.
    Unreadable,
    /// It has more values, or more members in one object, than are hashed.
    TooLarge,
    /// It refers to, or makes, state on the server.
    State,
    /// It has tools that run on the server.
    Tools,
    /// It asks for thinking, whose blocks are signed for this one answer.
    Thinking,
    /// It generates nothing, and is there for its effects.
    NoOutput,
}

impl Bypass {
    pub(crate) const ALL: [Self; 8] = [
        Self::Client,
        Self::NoTenant,
        Self::Unreadable,
        Self::TooLarge,
        Self::State,
        Self::Tools,
        Self::Thinking,
        Self::NoOutput,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::NoTenant => "no_tenant",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
            Self::State => "state",
            Self::Tools => "tools",
            Self::Thinking => "thinking",
            Self::NoOutput => "no_output",
        }
    }
}
