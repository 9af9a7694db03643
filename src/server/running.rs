//! A running gateway: its parts, its reload, and its stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use located_yaml::{ConfigErrors, Location};
use log::{error, info, warn};
use plugin_api::Count;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::engine::{self, PersistentState, PluginSender, Snapshot, Threads, WorkerProxy, Workers};
use crate::logging;
use crate::metrics::Metrics;

use super::given_sockets::GivenSockets;
use super::listener::Service;
use super::listener_tls::{ListenerTls, look};
use super::listeners::{Listeners, Prepared, ReadTls};
use super::source::Source;

/// How long a reload waits for the first lookup of new server names.
const NEW_NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the files of certificates are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A running gateway.
pub struct Running {
    source: Source,
    persistent: Arc<PersistentState>,
    metrics: Arc<Metrics>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// The configuration in force, as the operator may see it.
    shown: Arc<ArcSwap<Value>>,
    listeners: Listeners,
    service: Service,
    threads: Threads,
    stopping: watch::Sender<bool>,
    drain_timeout: Duration,
    readiness_delay: Duration,
    upgrade_timeout: Duration,
    fixed: Fixed,
}

/// Settings that a reload cannot change.
#[derive(PartialEq, Eq)]
struct Fixed {
    threads: Option<Count<1, 1024>>,
    admin: Option<SocketAddr>,
    kept_connections: usize,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            threads: config.server.threads,
            admin: config.admin.as_ref().map(|admin| admin.address.value),
            kept_connections: engine::kept_connections(config),
        }
    }
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every request has ended and is recorded.
    Drained,
    /// The drain timeout passed or the operator insisted. Requests that still ran were cut.
    Cut,
}

impl Running {
    /// Starts a gateway with this many worker threads, which does not accept yet. Must run within the runtime that accepts.
    ///
    /// # Errors
    /// What prevents the start, with its place in the file.
    pub fn start(
        source: Source,
        config: &Config,
        persistent: Arc<PersistentState>,
        threads: usize,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ConfigErrors> {
        let snapshot = snapshot(&source, config, &persistent, &metrics)?;
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let (stopping, shutdown) = watch::channel(false);
        let proxy = || WorkerProxy::new(snapshot.clone(), config);
        let workers = Workers::start(threads, proxy, &shutdown);
        let (workers, threads) = workers.map_err(|error| not_started(&source, "server.threads", &error))?;
        persistent.plugins.common().upstreams.connect(Arc::new(PluginSender::new(workers.downgrade())));
        let service = Service { workers, metrics: metrics.clone() };
        let (drain_timeout, readiness_delay) = (config.server.drain_timeout.get(), config.server.readiness_delay.get());
        let fixed = Fixed::of(config);
        let running = Self {
            source,
            persistent,
            metrics,
            snapshot,
            shown: Arc::new(ArcSwap::from_pointee(config.shown())),
            listeners: Listeners::default(),
            service,
            threads,
            stopping,
            drain_timeout,
            readiness_delay,
            upgrade_timeout: config.server.upgrade_timeout.get(),
            fixed,
        };
        running.persistent.plugins.activate_telemetry(&config.telemetry);
        running.snapshot.load().activate();
        Ok(running)
    }

    /// The state that outlives every configuration.
    #[must_use]
    pub fn persistent(&self) -> Arc<PersistentState> {
        self.persistent.clone()
    }

    /// The current configuration.
    #[must_use]
    pub fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshot.clone()
    }

    /// The configuration in force, with its defaults and without its secrets.
    #[must_use]
    pub fn shown(&self) -> Arc<ArcSwap<Value>> {
        self.shown.clone()
    }

    /// The listeners.
    #[must_use]
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Reads the configuration again and replaces the current one atomically. A configuration with an error changes
    /// nothing, nor does a reload whose future is dropped.
    ///
    /// # Errors
    /// Every error in it.
    pub async fn reload(&mut self) -> Result<(), ConfigErrors> {
        let reloaded = self.try_reload().await;
        self.metrics.config_reloaded(reloaded.is_ok());
        match &reloaded {
            Ok(()) => info!("configuration reloaded"),
            Err(errors) => error!(errors:% = errors.one_line(); "configuration not reloaded; the old one serves on"),
        }
        reloaded
    }

    async fn try_reload(&mut self) -> Result<(), ConfigErrors> {
        let (source, persistent, metrics) = (self.source.clone(), self.persistent.clone(), self.metrics.clone());
        // a million keys take a second to read, for which this runtime would not accept
        let read = spawn_blocking(move || {
            let config = source.load()?;
            let snapshot = snapshot(&source, &config, &persistent, &metrics)?;
            let tls = ReadTls::load(&config.listeners, source.base());
            Ok((config, snapshot, tls))
        });
        let (config, snapshot, tls) = read.await.map_err(|error| not_started(&self.source, "", &error.into()))??;
        let prepared = prepare(&self.source, &config, tls, &self.listeners, &mut GivenSockets::default())?;
        // otherwise the new servers could take no requests at first, which is worse than a later reload
        self.persistent.resolver.wait_for_first_lookups(NEW_NAMES_TIMEOUT).await;
        self.open(prepared)?;
        self.snapshot.store(Arc::new(snapshot));
        self.shown.store(Arc::new(config.shown()));
        self.persistent.plugins.activate_telemetry(&config.telemetry);
        self.snapshot.load().activate();
        self.persistent.checks.refresh();
        self.drain_timeout = config.server.drain_timeout.get();
        self.readiness_delay = config.server.readiness_delay.get();
        self.upgrade_timeout = config.server.upgrade_timeout.get();
        logging::set(&config.log);
        config.log_warnings();
        if Fixed::of(&config) != self.fixed {
            warn!(
                "server.threads, admin.address and keepalive.connections change with a restart only; the old ones stay"
            );
        }
        Ok(())
    }

    /// Accepts on the prepared listeners from now on, and on no others.
    ///
    /// # Errors
    /// A socket that was just bound has no local address.
    pub fn open(&mut self, prepared: Prepared) -> Result<(), ConfigErrors> {
        let opened = self.listeners.apply(prepared, &self.service);
        opened.map_err(|error| not_started(&self.source, "listeners", &error))
    }

    /// Reads the files of a listener's certificates again whenever they have changed, and serves what they hold from then on. What is lost
    /// when this future is dropped is found at the next look.
    pub async fn follow_certificates(&mut self) {
        loop {
            sleep(LOOK_INTERVAL).await;
            let base = self.source.base().to_owned();
            for (listener, files) in self.listeners.watched(&base) {
                // the files may be on a disk that does not answer, for which this runtime would not accept
                let Ok(looks) = spawn_blocking(move || look(&files)).await else { continue };
                let Some(settings) = self.listeners.due(listener, &looks) else { continue };
                let base = base.clone();
                let Ok(read) = spawn_blocking(move || ListenerTls::load(&settings, &base)).await else { continue };
                self.listeners.renew(listener, looks, read, &self.metrics);
            }
        }
    }

    /// From now on clients' connections are closed with the answers to their next requests.
    pub fn close_connections(&self) {
        self.persistent.closing.store(true, Ordering::Relaxed);
    }

    /// How long a stopping gateway still accepts, so that load balancers see in time that it is not ready.
    #[must_use]
    pub fn readiness_delay(&self) -> Duration {
        self.readiness_delay
    }

    /// How long a new process may take until it serves.
    #[must_use]
    pub fn upgrade_timeout(&self) -> Duration {
        self.upgrade_timeout
    }

    /// Stops accepting and waits until every connection is closed and every request recorded, at most for the drain
    /// timeout or until `insist` completes. Requests that still run then are cut. An idle connection is closed after `idle`.
    pub async fn stop(&mut self, idle: Duration, insist: impl Future<Output = ()>) -> Stopped {
        self.listeners.close().await;
        self.close_connections();
        let time_is_up = sleep(self.drain_timeout);
        let Self { metrics, stopping, service, .. } = self;
        let drained = async {
            if !idle.is_zero() && timeout(idle, metrics.drained()).await.is_ok() {
                return;
            }
            stopping.send_replace(true);
            service.workers.end_idle().await;
            metrics.drained().await;
        };
        tokio::select! {
            () = drained => Stopped::Drained,
            () = time_is_up => {
                warn!(requests = metrics.requests_in_flight(); "drain_timeout is up; what still runs is cut");
                Stopped::Cut
            }
            () = insist => Stopped::Cut,
        }
    }
}

impl Running {
    /// Ends the worker threads and waits for them, at most this long. Requests that still run are cut and recorded as
    /// aborted.
    pub fn end(self, limit: Duration) {
        let Self { listeners, service, threads, .. } = self;
        drop((listeners, service));
        threads.join(limit);
    }
}

fn not_started(source: &Source, path: &str, error: &std::io::Error) -> ConfigErrors {
    source.errors(vec![(Location::default(), path.to_owned(), error.to_string())])
}

/// What requests see of a configuration, without touching what they see now.
fn snapshot(
    source: &Source,
    config: &Config,
    persistent: &PersistentState,
    metrics: &Arc<Metrics>,
) -> Result<Snapshot, ConfigErrors> {
    let snapshot = Snapshot::build(config, source.base(), persistent, metrics);
    snapshot.map_err(|(at, path, what)| source.errors(vec![(at, path, what)]))
}

/// Binds what the listeners of a configuration need, for which their certificates were read, without touching those that are open.
pub(super) fn prepare(
    source: &Source,
    config: &Config,
    tls: ReadTls,
    open: &Listeners,
    given: &mut GivenSockets,
) -> Result<Prepared, ConfigErrors> {
    open.prepare(&config.listeners, tls, given).map_err(|problems| source.errors(problems))
}

#[cfg(test)]
mod tests;
