//! What the cache did for a call.

/// What the cache did for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CacheStatus {
    /// A stored answer was served.
    Hit,
    /// There was no answer; the call went upstream.
    Miss,
    /// The answer to an identical call in flight was shared.
    Coalesced,
    /// The call bypassed the cache.
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
