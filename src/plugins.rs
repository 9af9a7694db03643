//! The plugins of this build. The list below is the only place that names them; a gateway of one's own may add others to it.

mod entry;
mod kind;
mod shared;
mod switch;

use std::sync::OnceLock;

pub use entry::PluginEntry;
pub use kind::{FileReader, Kind, PluginCommand, kind};
pub use shared::PluginShared;

/// A list of plugins, by their types: `plugins![a_crate::ItsPlugin, …]`.
#[macro_export]
macro_rules! plugins {
    ($($plugin:ty),* $(,)?) => { &[$($crate::plugins::kind::<$plugin>()),*] };
}

/// The plugins of every build.
const BUILT_IN: &[&dyn Kind] = plugins! {
    access::Access,
    api_keys::ApiKeys,
    basic_auth::BasicAuth,
    batch::Batch,
    budget::BudgetPlugin,
    cors::Cors,
    headers::Headers,
    max_tokens::MaxTokens,
    merge_embeddings::MergeEmbeddings,
    model_list::ModelList,
    model_router::ModelRouter,
    rate_limit::RateLimit,
    response_cache::ResponseCache,
    usage_log::UsageLog,
};

static ALL: OnceLock<Vec<&dyn Kind>> = OnceLock::new();

/// Adds plugins to those of every build, before anything asks for a plugin.
pub(crate) fn add(own: &[&'static dyn Kind]) {
    ALL.get_or_init(|| [BUILT_IN, own].concat());
}

/// The plugins of this build.
#[must_use]
pub fn all() -> &'static [&'static dyn Kind] {
    ALL.get_or_init(|| BUILT_IN.to_vec())
}

/// The most bytes that the plugins of these entries hold together.
#[must_use]
pub fn memory<'a>(entries: impl Iterator<Item = &'a PluginEntry> + Clone) -> u64 {
    let held = all().iter().map(|kind| {
        let settings: Vec<_> = entries.clone().filter_map(|entry| entry.settings_of(*kind)).collect();
        kind.memory(&settings)
    });
    held.fold(0, u64::saturating_add)
}

/// The name by which a plugin knows a model without any settings, if one does.
#[must_use]
pub fn known_model(model: &str) -> Option<&'static str> {
    all().iter().find_map(|kind| kind.known_model(model))
}

/// The commands that plugins bring.
#[must_use]
pub fn commands() -> Vec<PluginCommand> {
    all().iter().flat_map(|kind| kind.commands()).collect()
}
