//! The names of the keys in Redis.

use std::fmt::Write as _;

use crate::cache_key::Key;

/// The names of one prefix. Gateways with the same prefix share answers and purges.
#[derive(Debug)]
pub(super) struct Keys {
    entries: String,
    /// The sorted set of purges, scored by time.
    pub(super) purges: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { entries: format!("{prefix}:cache:"), purges: format!("{prefix}:cache-purges") }
    }

    /// The name of an answer's key.
    pub(super) fn entry(&self, key: Key) -> String {
        let mut name = String::with_capacity(self.entries.len() + 2 * key.0.len());
        name.push_str(&self.entries);
        for byte in key.0 {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }
}
