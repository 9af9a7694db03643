//! A gateway at work: what serves, how it is reloaded, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use located_yaml::{ConfigErrors, Location};
use log::{error, info, warn};
use plugin_api::Count;
use tokio::sync::watch;

use crate::config::Config;
use crate::engine::{self, Front, Lasting, Snapshot, Threads, Workers};
use crate::logging;
use crate::metrics::Metrics;

use super::listener::Service;
use super::listeners::{Listeners, Prepared};
use super::source::Source;

/// How often a stopping gateway looks whether it may go.
const LOOK: Duration = Duration::from_millis(5);

/// How long names that are new in a configuration may hold up a reload.
const NEW_NAMES: Duration = Duration::from_secs(5);

/// A gateway at work.
pub struct Running {
    source: Source,
    lasting: Arc<Lasting>,
    metrics: Arc<Metrics>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    listeners: Listeners,
    service: Service,
    threads: Threads,
    stopping: watch::Sender<bool>,
    drain_timeout: Duration,
    fixed: Fixed,
}

/// What a reload cannot change.
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
    /// Every request had its end.
    Drained,
    /// The time was up, or somebody insisted; what still ran was cut.
    Cut,
}

impl Running {
    /// Puts a configuration to work on so many threads. Must run within the runtime that accepts.
    ///
    /// # Errors
    /// What keeps it from working, with its place in the file.
    pub fn start(source: Source, config: &Config, threads: usize, metrics: Arc<Metrics>) -> Result<Self, ConfigErrors> {
        let lasting = Arc::new(Lasting::default());
        let (snapshot, prepared) = build(&source, config, &lasting, &metrics, &Listeners::default())?;
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let (stopping, shutdown) = watch::channel(false);
        let front = || Front::new(snapshot.clone(), config);
        let workers = Workers::start(threads, front, &shutdown);
        let (workers, threads) = workers.map_err(|error| not_started(&source, "server.threads", &error))?;
        let service = Service { workers, metrics: metrics.clone() };
        let drain_timeout = config.server.drain_timeout.get();
        let fixed = Fixed::of(config);
        let mut running = Self {
            source,
            lasting,
            metrics,
            snapshot,
            listeners: Listeners::default(),
            service,
            threads,
            stopping,
            drain_timeout,
            fixed,
        };
        running.open(prepared)?;
        running.snapshot.load().in_force();
        Ok(running)
    }

    /// What outlives every configuration.
    #[must_use]
    pub fn lasting(&self) -> Arc<Lasting> {
        self.lasting.clone()
    }

    /// The configuration at work.
    #[must_use]
    pub fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshot.clone()
    }

    /// The listeners.
    #[must_use]
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Reads the configuration again and puts it in the place of the present one, all at once. One that is wrong
    /// anywhere changes nothing, and neither does a reload that is dropped.
    ///
    /// # Errors
    /// Everything that is wrong with it.
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
        let config = self.source.load()?;
        let (snapshot, prepared) = build(&self.source, &config, &self.lasting, &self.metrics, &self.listeners)?;
        // or its new servers could take nothing at first, which is worse than to come a little later
        self.lasting.resolver.wait_for_first_lookups(NEW_NAMES).await;
        self.open(prepared)?;
        self.snapshot.store(Arc::new(snapshot));
        self.snapshot.load().in_force();
        self.lasting.checks.refresh();
        self.drain_timeout = config.server.drain_timeout.get();
        logging::set(&config.log);
        config.log_warnings();
        if Fixed::of(&config) != self.fixed {
            warn!(
                "server.threads, admin.address and keepalive.connections change with a restart only; the old ones stay"
            );
        }
        Ok(())
    }

    fn open(&mut self, prepared: Prepared) -> Result<(), ConfigErrors> {
        let opened = self.listeners.apply(prepared, &self.service);
        opened.map_err(|error| not_started(&self.source, "listeners", &error))
    }

    /// Accepts no more, lets running requests end, and cuts what still runs when the time is up or `insist` comes.
    pub async fn stop(&mut self, insist: impl Future<Output = ()>) -> Stopped {
        self.listeners.close();
        self.stopping.send_replace(true);
        self.service.workers.end_idle().await;
        let idle = async {
            while self.metrics.connections_in_flight() > 0 || self.metrics.requests_in_flight() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = idle => Stopped::Drained,
            () = tokio::time::sleep(self.drain_timeout) => {
                warn!(requests = self.metrics.requests_in_flight(); "drain_timeout is up; what still runs is cut");
                Stopped::Cut
            }
            () = insist => Stopped::Cut,
        }
    }
}

impl Running {
    /// Ends the threads; what still runs is cut, and recorded as that.
    pub fn end(self, patience: Duration) {
        let Self { listeners, service, threads, .. } = self;
        drop((listeners, service));
        threads.join(patience);
    }
}

fn not_started(source: &Source, path: &str, error: &std::io::Error) -> ConfigErrors {
    source.errors(vec![(Location::default(), path.to_owned(), error.to_string())])
}

/// Everything of a configuration that can fail, off-line.
fn build(
    source: &Source,
    config: &Config,
    lasting: &Lasting,
    metrics: &Arc<Metrics>,
    open: &Listeners,
) -> Result<(Snapshot, Prepared), ConfigErrors> {
    let snapshot = Snapshot::build(config, source.base(), lasting, metrics);
    let snapshot = snapshot.map_err(|(at, path, what)| source.errors(vec![(at, path, what)]))?;
    let prepared = open.prepare(&config.listeners, source.base()).map_err(|faults| source.errors(faults))?;
    Ok((snapshot, prepared))
}

#[cfg(test)]
mod tests;
