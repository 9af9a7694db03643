//! The plugins of this build: the only file that names them.

mod registry;
mod switch;

registry::plugins! {
    max_tokens::MaxTokens,
    response_cache::ResponseCache,
    usage_log::UsageLog,
}

impl PluginEntry {
    /// The ledger that it keeps, where it keeps one.
    pub(crate) fn ledger(&self) -> Option<&usage_log::Config> {
        match self {
            Self::UsageLog(switch) => switch.on(),
            _ => None,
        }
    }
}
