//! What is priced: tokens by class, and the terms on which they were served.

/// Tokens by class; `None` where the provider reported none of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input from no cache.
    pub input: Option<u64>,
    /// Output, reasoning included.
    pub output: Option<u64>,
    /// Input read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Input written to the provider's cache, for whatever time.
    pub cache_write: Option<u64>,
    /// The part of that which is kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// The part of the output which is reasoning.
    pub reasoning: Option<u64>,
}

/// On what terms tokens were served, in the providers' words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The service tier: `standard`, `batch`, `priority`, `flex`; `None` is standard. Another one has no known price.
    pub tier: Option<&'a str>,
    /// Where: `us` may cost more.
    pub geo: Option<&'a str>,
    /// How fast: `fast` costs more.
    pub speed: Option<&'a str>,
}
