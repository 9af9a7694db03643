//! A route of ours, as it will be written.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

/// A route: what it takes, and where that goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Route {
    /// What it asks of a request.
    pub(super) takes: Takes,
    /// What becomes of it.
    pub(super) action: Action,
}

/// What a route asks of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Takes {
    pub(super) hosts: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) headers: IndexMap<String, String>,
    pub(super) query: IndexMap<String, String>,
    pub(super) scheme: Option<String>,
    pub(super) listeners: Vec<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Action {
    pub(super) target: Target,
    /// The path in place of the location's own, whose groups the target uses.
    pub(super) path: Option<String>,
    pub(super) timeouts: Map<String, Value>,
    pub(super) max_body: Option<String>,
    /// Each plugin with its settings, top to bottom.
    pub(super) plugins: Vec<(&'static str, Value)>,
    pub(super) is_logged_not: bool,
    /// Whether the handshake of a WebSocket goes on as a plain request.
    pub(super) ignores_websockets: bool,
    /// Whether the server decided it, whatever the location.
    pub(super) is_of_server: bool,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// To an upstream.
    Upstream {
        /// Its settings, which get a name in the end.
        upstream: Upstream,
        /// How the path changes.
        path_change: Option<PathChange>,
    },
    /// To another address.
    Redirect {
        /// The address.
        location: String,
        /// The status.
        status: u16,
    },
    /// It is answered.
    Answer {
        /// The status.
        status: u16,
        /// The body.
        body: Option<String>,
        /// Its media type.
        content_type: Option<String>,
    },
}

/// How a path changes on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PathChange {
    /// A prefix goes.
    Strip(String),
    /// Another one takes its place.
    Rewrite(String),
}

/// The settings of an upstream, and what it would like to be called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) settings: Map<String, Value>,
}

impl Default for Target {
    fn default() -> Self {
        Self::answer(404)
    }
}

impl Target {
    /// An answer of a status alone.
    pub(super) fn answer(status: u16) -> Self {
        Self::Answer { status, body: None, content_type: None }
    }
}

impl Action {
    /// An answer of a status alone.
    pub(super) fn answer(status: u16) -> Self {
        Self { target: Target::answer(status), ..Self::default() }
    }

    /// Adds a plugin.
    pub(super) fn plug(&mut self, name: &'static str, settings: Option<Value>) {
        self.plugins.extend(settings.map(|settings| (name, settings)));
    }
}

impl Route {
    /// As the YAML writes it. `name` gives upstreams their names.
    pub(super) fn into_yaml(self, name: &mut impl FnMut(Upstream) -> String) -> Value {
        let Self { takes, action } = self;
        let mut route = Map::new();
        let mut put = |key: &str, value: Value| {
            let is_empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
            if !value.is_null() && !is_empty {
                route.insert(key.to_owned(), value);
            }
        };
        put("hosts", json!(takes.hosts));
        put("paths", json!(takes.paths));
        put("methods", json!(takes.methods));
        put("headers", json!(takes.headers));
        put("query", json!(takes.query));
        put("scheme", json!(takes.scheme));
        put("listeners", json!(takes.listeners));
        match action.target {
            Target::Upstream { upstream, path_change } => {
                match path_change {
                    Some(PathChange::Strip(prefix)) => put("strip", json!(prefix)),
                    Some(PathChange::Rewrite(template)) => put("rewrite", json!(template)),
                    None => {}
                }
                put("upstream", json!(name(upstream)));
                put("timeouts", Value::Object(action.timeouts));
                put("websocket", if action.ignores_websockets { json!("ignore") } else { Value::Null });
            }
            Target::Redirect { location, status } => {
                put("redirect", json!(location));
                put("status", if status == 301 { Value::Null } else { json!(status) });
            }
            Target::Answer { status, body, content_type } => {
                let mut answer = Map::from_iter([("status".to_owned(), json!(status))]);
                answer.extend(content_type.map(|kind| ("content_type".to_owned(), json!(kind))));
                answer.extend(body.map(|body| ("body".to_owned(), json!(body))));
                put("answer", Value::Object(answer));
            }
        }
        put("max_body", json!(action.max_body));
        put("plugins", action.plugins.into_iter().map(|(name, settings)| json!({ name: settings })).collect());
        put("access_log", if action.is_logged_not { json!("off") } else { Value::Null });
        Value::Object(route)
    }
}
