//! One whole configuration at work: routes, upstreams, plugins and limits, built off-line and swapped in at once.
//! A request keeps the snapshot it began with.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use located_yaml::Location;
use networks::Network;
use plugin_api::Share;

use crate::access_log::{AccessLog, AccessLogs};
use crate::attribution::Attribution;
use crate::balance::{ServerView, State, Timeouts, UpstreamRegistry};
use crate::config::{Config, Sizes};
use crate::dns::Resolver;
use crate::exchange::header_names::HeaderNames;
use crate::exchange::upstream::Upstream;
use crate::health::{Check, CheckTarget, Checks};
use crate::metrics::{ConfigSnapshot, Metrics, ModelNames};
use crate::plugins::{self, PluginShared};
use crate::routes::{HostPattern, Router};
use crate::settings::{AdminToken, ClientAddress};

use super::route::{Route, Routes};
use super::upstream::Peers;

/// A configuration at work.
pub struct Snapshot {
    /// Finds the route of a request.
    pub router: Router,
    /// The routes, by the router's index.
    pub routes: Vec<Arc<Route>>,
    /// The upstreams, in the order of the YAML.
    pub upstreams: Vec<Arc<Upstream>>,
    /// How to connect to their servers, in the same order.
    pub peers: Vec<Peers>,
    /// How their servers are checked, if they are, in the same order.
    checks: Vec<Option<Arc<Check>>>,
    /// Whether the calls of any route may go on without their clients.
    pub subrequests: bool,
    /// Where requests say whose they are.
    pub attribution: Attribution,
    /// Which headers go upstream by their names.
    pub header_names: HeaderNames,
    /// Whose word on their clients is believed.
    pub trusted_proxies: Vec<Network>,
    /// Where they say a client's address.
    pub client_address: ClientAddress,
    /// Of which share of requests spans are sent; `None` where none are made.
    pub sample: Option<Share>,
    /// The bounds of a request.
    pub limits: Limits,
    /// Further names of the admin listener.
    pub admin_hosts: Vec<HostPattern>,
    /// Its token, if it has one.
    pub admin_token: Option<AdminToken>,
    /// How much memory they may take.
    pub sizes: Sizes,
    /// Where requests are logged.
    pub access_log: AccessLog,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// The models that have names there.
    pub models: ModelNames,
    closing: Arc<AtomicBool>,
    _alive: ConfigSnapshot,
}

/// The bounds of a request.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The largest head of a request.
    pub max_header: usize,
    /// The largest body that is read for plugins.
    pub max_body: usize,
    /// How long it may take to come.
    pub body_timeout: Duration,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long an idle client connection is kept.
    pub keepalive_timeout: Duration,
    /// The longest `idle` of all upstreams: how long a client may take nothing of an answer that comes from none.
    pub longest_idle: Duration,
    /// How long a stopping gateway waits.
    pub drain_timeout: Duration,
}

/// A problem that prevents a snapshot: its place in the file, the setting, and the reason.
pub type Fault = (Location, String, String);

/// The state that outlives snapshots.
#[derive(Default)]
pub struct PersistentState {
    /// The servers and their counts.
    pub registry: UpstreamRegistry,
    /// Their names and addresses.
    pub resolver: Resolver,
    /// Their health checks.
    pub checks: Checks,
    /// The shared state of plugins.
    pub plugins: PluginShared,
    /// The outputs of access logs.
    pub access_logs: AccessLogs,
    /// Whether connections of clients are closed with the answer to their next request.
    pub closing: Arc<AtomicBool>,
}

impl Snapshot {
    /// Builds it; nothing of it is in use yet. Files are relative to `base`.
    ///
    /// # Errors
    /// The problem. The configuration was checked before, so only a change of the file system since then can cause one.
    pub fn build(
        config: &Config,
        base: &Path,
        persistent: &PersistentState,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let mut upstreams = HashMap::new();
        let mut in_order = Vec::with_capacity(config.upstreams.len());
        let mut peers = Vec::with_capacity(config.upstreams.len());
        let mut checks = Vec::with_capacity(config.upstreams.len());
        for (name, settings) in &config.upstreams {
            let wrong = |error| (settings.at, format!("upstreams.{name}"), error);
            let upstream = build_upstream(name, config, persistent, &mut upstreams, 0)?;
            peers.push(Peers::new(&upstream, settings, base).map_err(wrong)?);
            checks.push(Check::new(settings, base).map_err(wrong)?.map(Arc::new));
            in_order.push(upstream);
        }
        let routes = Routes { config, upstreams: &upstreams, plugins: &persistent.plugins, base }.build()?;
        let access_log = AccessLog::open(&config.access_log, base, &persistent.access_logs, metrics.access_log_lost())
            .map_err(|error| (Location::default(), "access_log.path".to_owned(), error.to_string()))?;
        let longest_idle = longest_idle(&in_order, &routes);
        Ok(Self {
            router: Router::new(config.routes.iter().map(|route| &**route)),
            subrequests: routes.iter().any(|route| route.drains() || route.chain.needs().detach),
            routes,
            attribution: config.attribution.clone(),
            header_names: HeaderNames {
                underscores: config.server.underscores_in_headers,
                invalid: !config.server.ignore_invalid_headers,
                known: config.attribution.headers().cloned().collect(),
            },
            trusted_proxies: config.trusted_proxies.clone(),
            client_address: config.client_address.clone(),
            sample: config.telemetry.otlp.as_ref().map(|otlp| otlp.sample),
            limits: Limits {
                max_body: config.server.max_body.as_usize(),
                max_header: config.server.max_header.get(),
                body_timeout: config.server.body_timeout.get(),
                header_timeout: config.server.header_timeout.get(),
                keepalive_timeout: config.server.keepalive_timeout.get(),
                drain_timeout: config.server.drain_timeout.get(),
                longest_idle,
            },
            sizes: Sizes::of(config),
            upstreams: in_order,
            peers,
            checks,
            admin_hosts: config.admin.as_ref().map(|admin| admin.hosts.clone()).unwrap_or_default(),
            admin_token: config.admin.as_ref().and_then(|admin| admin.token.clone()),
            access_log,
            metrics: metrics.clone(),
            models: ModelNames::new(model_names(config), plugins::known_model),
            closing: persistent.closing.clone(),
            _alive: metrics.config_snapshot(),
        })
    }

    /// Whether a client's connection is kept for another request.
    #[must_use]
    pub fn keeps_connections(&self) -> bool {
        !self.limits.keepalive_timeout.is_zero() && !self.closing.load(Ordering::Relaxed)
    }

    /// Activates its limits, upstreams and plugins. Cannot fail.
    pub fn activate(&self) {
        self.sizes.apply();
        self.upstreams.iter().for_each(|upstream| upstream.pool.activate());
        self.routes.iter().for_each(|route| route.chain.activate());
    }

    /// Whether the access log or a plugin needs the contents of a route's answers.
    #[must_use]
    pub fn reads_answers(&self, route: &Route) -> bool {
        route.chain.needs().answer || self.access_log.reads_answers(route.access_log)
    }

    /// Every server, to be checked as its upstream says; none that is `down`.
    #[must_use]
    pub fn check_targets(&self) -> Vec<CheckTarget> {
        let target = |check: &Option<Arc<Check>>, view: ServerView| CheckTarget {
            server: view.server,
            server_index: view.server_index,
            // a server that is `down` may not even exist
            check: check.clone().filter(|_| view.state != State::Down),
        };
        let upstreams = self.upstreams.iter().zip(&self.checks);
        let servers = upstreams
            .flat_map(|(upstream, check)| upstream.pool.servers().into_iter().map(move |view| target(check, view)));
        servers.collect()
    }
}

/// The models that a configuration names anywhere, some of them by patterns.
fn model_names(config: &Config) -> impl Iterator<Item = &str> {
    let plugins = config.plugins.iter().chain(config.routes.iter().flat_map(|route| &route.plugins));
    let fallbacks = config.upstreams.values().filter_map(|upstream| upstream.fallback.as_ref());
    let routes = config.routes.iter().flat_map(|route| route.models());
    let fallbacks = fallbacks.flat_map(|fallback| fallback.model_names());
    plugins.flat_map(|entry| entry.model_names()).chain(fallbacks).chain(routes.flat_map(|entry| entry.model_names()))
}

/// The longest pause that an answer may make on any route; that of an upstream by default where there are none.
fn longest_idle(upstreams: &[Arc<Upstream>], routes: &[Arc<Route>]) -> Duration {
    let of_upstreams = upstreams.iter().map(|upstream| upstream.timeouts.idle);
    let of_routes = routes.iter().filter_map(|route| route.upstream()?.timeouts.idle);
    of_upstreams.chain(of_routes).max().unwrap_or_else(|| Timeouts::default().idle.get())
}

/// The upstream of this name, and first of all the fallbacks that it leads to.
fn build_upstream<'c>(
    name: &str,
    config: &'c Config,
    persistent: &PersistentState,
    built: &mut HashMap<&'c str, Arc<Upstream>>,
    depth: usize,
) -> Result<Arc<Upstream>, Fault> {
    if let Some(upstream) = built.get(name) {
        return Ok(upstream.clone());
    }
    let Some((index, name, settings)) = config.upstreams.get_full(name).filter(|_| depth <= config.upstreams.len())
    else {
        let what = "is unknown, or leads back to itself".to_owned();
        return Err((Location::default(), format!("upstreams.{name}"), what));
    };
    let fallback = settings.fallback.as_ref();
    let fallback = fallback
        .map(|fallback| build_upstream(&fallback.upstream, config, persistent, built, depth + 1))
        .transpose()?;
    let upstream = Upstream::new(name, index, settings, &persistent.registry, &persistent.resolver, fallback);
    let upstream = Arc::new(upstream);
    built.insert(name, upstream.clone());
    Ok(upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_be_slow_where_there_are_no_upstreams() {
        assert_eq!(longest_idle(&[], &[]), Duration::from_secs(300));
    }
}
