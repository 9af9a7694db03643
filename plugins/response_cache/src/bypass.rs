//! Why a call bypasses the cache, as a label of the metrics.

/// Why a call bypasses the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The client forbids caching.
    Client,
    /// The tenant is unknown.
    NoTenant,
    /// The body cannot be read, or different servers may read it differently.
    Unreadable,
    /// The body has more values, or more members in one object, than are hashed.
    TooLarge,
    /// The call refers to state on the server, or creates some.
    State,
    /// The call has tools that run on the server.
    Tools,
    /// The call asks for thinking, whose blocks are signed for one answer.
    Thinking,
    /// The call generates nothing; it is made for its side effects.
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
