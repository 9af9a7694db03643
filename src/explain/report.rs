//! What is said of a request: the sections of the answer, as JSON has them.

use serde::{Deserialize, Serialize};

use crate::chain::ExplainedPlugin;
use crate::config::Config;
use crate::engine::Prepared;

use super::redact::redact;
use super::sections;

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    /// What is asked.
    pub(super) request: Asked,
    /// The routes that were asked, in their order, to the one that takes the request.
    pub(super) routes: Vec<RouteAnswer>,
    /// The call, where it is one.
    pub(super) call: Option<CallReport>,
    /// The route's plugins, top to bottom.
    pub(super) plugins: Vec<PluginReport>,
    /// What becomes of it.
    pub(super) outcome: Outcome,
    /// What the answer of a running gateway depends on besides.
    pub(super) depends_on: Vec<String>,
}

/// The request, and what was made up of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) client: String,
    pub(super) listener: String,
    pub(super) scheme: String,
    /// What standard input did not say.
    pub(super) assumed: Vec<String>,
    /// What must not be repeated.
    #[serde(skip)]
    pub(super) secrets: Vec<String>,
}

/// A route, and whether it takes the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RouteAnswer {
    pub(super) name: String,
    /// Its place: `FILE:LINE`.
    pub(super) at: String,
    /// Why it does not take the request; none where it does.
    pub(super) mismatch: Option<String>,
}

/// What is known of a call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct CallReport {
    pub(super) endpoint: String,
    pub(super) dialect: String,
    /// Why its body is not read as a call, where it is not.
    pub(super) unread: Option<String>,
    /// How many calls it makes; several in a batch.
    pub(super) calls: usize,
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) tools: bool,
    pub(super) thinking: bool,
    pub(super) messages: usize,
    /// Messages of the user that hold more than results of tools.
    pub(super) turns: u64,
    pub(super) images: usize,
    pub(super) documents: usize,
    /// Estimated by the length of its text.
    pub(super) input_tokens: u64,
    pub(super) max_tokens: Option<u64>,
    pub(super) session: Option<String>,
    pub(super) user: Option<String>,
}

/// What a plugin would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PluginReport {
    pub(super) name: String,
    pub(super) at: String,
    /// Whether the request comes to it.
    pub(super) reached: bool,
    /// Whether it takes part in explanations. Where not, nobody knows what it would do.
    pub(super) known: bool,
    pub(super) says: Vec<String>,
    pub(super) changes: Vec<String>,
    /// How it ends the request, if it does.
    pub(super) ends: Option<String>,
    pub(super) depends_on: Vec<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It goes upstream.
    Sent(Box<SentReport>),
    /// It is answered here, or refused.
    Answered {
        status: u16,
        /// The plugin that answers; none where the gateway or the route does.
        plugin: Option<String>,
        /// The word for why, where it is refused.
        reason: Option<String>,
        /// The body of the answer, where it is short.
        body: Option<String>,
    },
    /// It fails, and there is no answer.
    Failed { reason: String },
}

/// A request that goes upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SentReport {
    pub(super) upstream: String,
    pub(super) at: String,
    /// The model that the upstream is asked for.
    pub(super) model: Option<String>,
    /// The entry of the route's `models` that takes the call: `FILE:LINE`.
    pub(super) models_entry: Option<String>,
    /// The rule by which a server is chosen.
    pub(super) balance: String,
    /// The server that the request's key leads to, while nothing is in flight.
    pub(super) hashed_to: Option<String>,
    pub(super) servers: Vec<ServerReport>,
    /// The upstreams that take over, in turn.
    pub(super) fallbacks: Vec<String>,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) websocket: bool,
    /// Headers as they are sent that the client did not send so; values of credentials are not shown.
    pub(super) headers_set: Vec<(String, String)>,
    /// Headers of the client's that are not sent.
    pub(super) headers_removed: Vec<String>,
    /// The bytes of the body as it is sent; none where it is passed on unread.
    pub(super) body_bytes: Option<usize>,
}

/// A server of an upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ServerReport {
    pub(super) address: String,
    pub(super) weight: u32,
    /// It takes requests only while no other can.
    pub(super) backup: bool,
    /// It takes none.
    pub(super) down: bool,
    /// The `Host` that it gets, where that is its own.
    pub(super) host: Option<String>,
}

impl Report {
    /// What is said of a request.
    ///
    /// # Errors
    /// That secrets cannot be taken out of it: then nothing of it is shown.
    pub(super) fn of(
        config: &Config,
        asked: Asked,
        prepared: &Prepared,
        plugins: &[ExplainedPlugin],
    ) -> Result<Self, String> {
        let secrets = asked.secrets.clone();
        let plugins = sections::plugins(config, prepared, plugins);
        let mut depends_on = sections::dependencies(&plugins);
        let outcome = sections::outcome(config, prepared, &plugins, &mut depends_on);
        let report = Self {
            request: asked,
            routes: sections::routes(config, prepared),
            call: prepared.call.as_ref().map(|call| sections::call(prepared, call)),
            plugins: plugins.into_iter().map(|(plugin, _)| plugin).collect(),
            outcome,
            depends_on,
        };
        let with_secrets =
            |error: serde_json::Error| format!("what is said of the request cannot be shown without secrets: {error}");
        let mut value = serde_json::to_value(&report).map_err(with_secrets)?;
        redact(config, &secrets, &mut value);
        serde_json::from_value(value).map_err(with_secrets)
    }

    /// As JSON.
    pub(super) fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        text + "\n"
    }
}
