//! What the cache did for a call.

/// What the cache did for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CacheStatus {
    /// It had the answer.
    Hit,
    /// It had none; the upstream was asked.
    Miss,
    /// The answer to another caller's same call, under way at the time, served this one too.
    Coalesced,
    /// A rule, or the client, kept it out.
    Bypass,
}

impl CacheStatus {
    /// The word for it in the ledger and in metrics; in capitals it is the value of `x-cache`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypass => "bypass",
        }
    }
}
