//! A route at work: its plugins, and where its requests go. Finding it is the router's.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use located_yaml::Located;
use plugin_api::{Period, RouteModels};

use crate::chain::Chain;
use crate::config::Config;
use crate::exchange::model_routes::ModelRoutes;
use crate::exchange::upstream::{TimeoutOverrides, Upstream};
use crate::plugins::{PluginEntry, PluginShared};
use crate::routes::{OnClientDisconnect, PathChange, RouteSettings, RouteTimeouts, Target, UpstreamTarget, WebSockets};

use super::local_answer::LocalAnswer;
use super::snapshot::Fault;

/// A route.
pub struct Route {
    /// Its place among the routes of the YAML.
    pub index: usize,
    /// Its name in records and logs.
    pub name: Arc<str>,
    /// The first of its hosts as the YAML writes it; empty where it names none.
    pub server_name: Box<str>,
    /// Its plugins.
    pub chain: Chain,
    /// What may be asked for on it: by its `models`, and by plugins that choose one.
    pub names: RouteModels,
    /// Where its requests go.
    pub target: RouteTarget,
    /// The largest body of a request, in bytes; `None` where it has no limit of its own.
    pub max_body: Option<u64>,
    /// The largest body that is read here, in bytes: by this limit and that of the server.
    pub max_read: usize,
    /// Whether its requests are in the access log.
    pub access_log: bool,
}

/// The name of the server that took a request, as nginx's variables have it: nothing where no route did.
#[must_use]
pub fn server_name(route: Option<&Route>) -> &str {
    route.map_or("", |route| &route.server_name)
}

/// Where the requests of a route go.
pub enum RouteTarget {
    /// To an upstream.
    Upstream(Box<UpstreamRoute>),
    /// Nowhere: they are answered here.
    Here(Box<LocalAnswer>),
}

/// The way to an upstream.
pub struct UpstreamRoute {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Other upstreams and names for some models; `None` without `models`.
    pub models: Option<ModelRoutes>,
    /// The path that it gets in place of the client's; `None` for the client's own.
    pub path_change: Option<PathChange>,
    /// Limits in place of the upstream's own.
    pub timeouts: TimeoutOverrides,
    /// Whether an upstream of it hashes the sessions of calls.
    pub hashes_sessions: bool,
    /// What happens to a call whose client leaves.
    pub on_client_disconnect: OnClientDisconnect,
    /// Whether a WebSocket passes.
    pub websocket: WebSockets,
}

impl Route {
    /// The way to its upstream, where it leads to one.
    #[must_use]
    pub fn upstream(&self) -> Option<&UpstreamRoute> {
        match &self.target {
            RouteTarget::Upstream(target) => Some(target),
            RouteTarget::Here(_) => None,
        }
    }

    /// Other upstreams and names for some models, where it has `models`.
    #[must_use]
    pub fn models(&self) -> Option<&ModelRoutes> {
        self.upstream()?.models.as_ref()
    }

    /// Whether a call goes on to its end when its client leaves.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.upstream().is_some_and(|target| target.on_client_disconnect == OnClientDisconnect::Drain)
    }
}

/// What the routes of a configuration are built from.
pub struct Routes<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Its upstreams, by name.
    pub upstreams: &'a HashMap<&'a str, Arc<Upstream>>,
    /// The shared state of plugins.
    pub plugins: &'a PluginShared,
    /// The folder that paths are relative to.
    pub base: &'a Path,
}

impl Routes<'_> {
    /// Builds the routes, in the order of the YAML.
    ///
    /// # Errors
    /// What keeps one from being built.
    pub fn build(&self) -> Result<Vec<Arc<Route>>, Fault> {
        let secrets = secrets(self.config);
        let routes = self.config.routes.iter().enumerate();
        routes.map(|(index, route)| self.route(index, route, &secrets).map(Arc::new)).collect()
    }

    fn route(&self, index: usize, route: &Located<RouteSettings>, secrets: &Arc<[Box<str>]>) -> Result<Route, Fault> {
        let target = match &route.target {
            Target::Upstream(target) => RouteTarget::Upstream(Box::new(self.upstream(index, target)?)),
            Target::Redirect(redirect) => RouteTarget::Here(Box::new(LocalAnswer::from(redirect))),
            Target::Answer(answer) => RouteTarget::Here(Box::new(LocalAnswer::from(&**answer))),
        };
        let global = self.config.plugins.iter().map(|entry| &**entry);
        let entries = merged(global, route.plugins.iter().map(|entry| &**entry));
        let plugins = entries.iter().filter_map(|entry| entry.build(self.base, self.plugins, secrets).transpose());
        let plugins = plugins.collect::<Result<Vec<_>, _>>();
        let plugins = plugins.map_err(|problem| (route.at, format!("routes[{index}].plugins"), problem.into()))?;
        let routed = entries.iter().flat_map(|entry| entry.routed_names()).map(Box::from).collect();
        let rules = match &target {
            RouteTarget::Upstream(target) => target.models.as_ref().map(|models| models.models().clone()),
            RouteTarget::Here(_) => None,
        };
        // as in nginx, 0 is no limit
        let max_body = route.max_body.map(|size| size.get()).filter(|size| *size > 0);
        let max_of_server = self.config.server.max_body.as_usize();
        Ok(Route {
            index,
            name: route.label(),
            server_name: route.hosts.first().map(|host| String::from(host.value.clone()).into()).unwrap_or_default(),
            chain: Chain::new(plugins),
            names: rules.unwrap_or_default().with_routed(routed),
            target,
            max_body,
            max_read: max_body
                .and_then(|max| usize::try_from(max).ok())
                .map_or(max_of_server, |max| max.min(max_of_server)),
            access_log: route.access_log.is_on(),
        })
    }

    fn upstream(&self, index: usize, target: &UpstreamTarget) -> Result<UpstreamRoute, Fault> {
        let upstream = self.named(&target.upstream, || format!("routes[{index}].upstream"))?;
        let models = self.models(index, target)?;
        let reachable = models.iter().flat_map(ModelRoutes::upstreams).chain([&upstream]);
        let hashes_sessions = reachable.into_iter().any(|upstream| upstream.hashes_sessions);
        Ok(UpstreamRoute {
            upstream,
            models,
            path_change: target.path_change.clone(),
            timeouts: overrides(&target.timeouts),
            hashes_sessions,
            on_client_disconnect: target.on_client_disconnect,
            websocket: target.websocket,
        })
    }

    /// The `models` of a route, if it has any.
    fn models(&self, index: usize, target: &UpstreamTarget) -> Result<Option<ModelRoutes>, Fault> {
        if target.models.is_empty() {
            return Ok(None);
        }
        let mut used: Vec<Arc<Upstream>> = Vec::new();
        for (at, entry) in target.models.iter().enumerate() {
            let Some(name) = &entry.upstream else { continue };
            let upstream = self.named(name, || format!("routes[{index}].models[{at}].upstream"))?;
            if used.iter().all(|known| known.index != upstream.index) {
                used.push(upstream);
            }
        }
        let rules = target.models.iter().map(|entry| entry.rule()).collect();
        Ok(Some(ModelRoutes::new(RouteModels::new(rules), used)))
    }

    /// The upstream that a setting names.
    fn named(&self, name: &Located<String>, setting: impl FnOnce() -> String) -> Result<Arc<Upstream>, Fault> {
        let known = self.upstreams.get(name.as_str()).cloned();
        known.ok_or_else(|| (name.at, setting(), "is unknown".to_owned()))
    }
}

/// The credentials that a configuration holds for upstreams.
fn secrets(config: &Config) -> Arc<[Box<str>]> {
    config.upstreams.values().flat_map(|upstream| upstream.headers.secrets()).map(Box::from).collect()
}

fn overrides(timeouts: &RouteTimeouts) -> TimeoutOverrides {
    let limit = |period: Option<Period>| period.map(Period::get);
    TimeoutOverrides {
        connect: limit(timeouts.connect),
        first_byte: limit(timeouts.first_byte),
        idle: limit(timeouts.idle),
        total: limit(timeouts.total),
        upgraded: limit(timeouts.upgraded),
    }
}

/// The plugins of a route: the global ones in their order, each with the route's own settings if it has some, then those that only the
/// route names. Of these, the outermost go above all others, and those that find out who calls, which others ask for, below them.
fn merged<'a>(
    global: impl Iterator<Item = &'a PluginEntry>,
    own: impl Iterator<Item = &'a PluginEntry>,
) -> Vec<&'a PluginEntry> {
    let mut entries: Vec<&PluginEntry> = global.collect();
    let (mut outermost, mut identifying) = (0, 0);
    for entry in own {
        if let Some(known) = entries.iter_mut().find(|known| known.name() == entry.name()) {
            *known = entry;
        } else if entry.is_outermost() {
            entries.insert(outermost, entry);
            outermost += 1;
        } else if entry.identifies() {
            let above = entries.iter().take_while(|known| known.is_outermost()).count();
            entries.insert(above + identifying, entry);
            identifying += 1;
        } else {
            entries.push(entry);
        }
    }
    entries
}
