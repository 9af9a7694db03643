//! The plugins of this build: the only file that names them.

mod registry;
mod switch;

pub use registry::PluginCommand;

registry::plugins! {
    api_keys::ApiKeys,
    max_tokens::MaxTokens,
    rate_limit::RateLimit,
    response_cache::ResponseCache,
    usage_log::UsageLog,
    #[cfg(feature = "examples")]
    require_team::RequireTeam,
    #[cfg(feature = "examples")]
    mask_words::MaskWords,
}
