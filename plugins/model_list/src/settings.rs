//! The settings, as the YAML writes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers `GET /v1/models` and `GET /v1/models/ID` with the models that the caller may ask for on this route, and `HEAD /api/hello`,
/// by which Claude Code sees whether a gateway is there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The models of the route's own `upstream`, which gets what no entry of the route's `models` takes: names, or patterns that
    /// stand for the names in the price table. Absent: on a route without `models`, the names in the price table of the provider
    /// whose API the caller speaks; on others, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Box<str>>>,
}
