//! A price as a configuration has it; the published table is written the same way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amount::Amount;

/// What a model costs, in US dollars per million tokens. A class that has no price here has none: an answer with such tokens has no
/// cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input from no cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Amount>,
    /// Output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Amount>,
    /// Input read from the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Amount>,
    /// Input written to the provider's cache for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Amount>,
    /// Input written to it for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Amount>,
    /// Reasoning, where it costs other than the rest of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Amount>,
    /// What changes when a call's input, cached or not, is longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Above>,
    /// One web search, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search: Option<Amount>,
    /// The prices of batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Tier>,
    /// The prices of the service tier `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Tier>,
    /// The prices of the service tier `flex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flex: Option<Tier>,
    /// By what all tokens' prices are multiplied where they were served in the `us` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_us: Option<Amount>,
    /// By what they are multiplied at the speed `fast`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_fast: Option<Amount>,
}

/// What another tier costs, in US dollars per million tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Input from no cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Amount>,
    /// Output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Amount>,
    /// Input read from the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Amount>,
    /// Input written to the provider's cache for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Amount>,
    /// Input written to it for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Amount>,
    /// Reasoning, where it costs other than the rest of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Amount>,
    /// What changes when a call's input is longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Above>,
}

/// What all tokens of a call cost whose input, cached or not, is longer than this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Above {
    /// So many tokens.
    pub tokens: u64,
    /// Input from no cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Amount>,
    /// Output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Amount>,
    /// Input read from the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Amount>,
    /// Input written to the provider's cache for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Amount>,
    /// Input written to it for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Amount>,
    /// Reasoning, where it costs other than the rest of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Amount>,
}
