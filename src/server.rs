//! Runs a gateway from its configuration: start, reloads, signals, drain and end.

mod admin_listener;
mod listener;
mod listeners;
mod running;
mod servers_known;
mod signals;
mod source;
mod start_error;
mod successor;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plugin_api::Count;
use tokio::sync::mpsc;

use crate::admin::{self, Readiness, ReloadRequest};
use crate::config::Config;
use crate::logging;
use crate::metrics::Metrics;

use admin_listener::AdminSocket;
use running::{Running, Stopped};
use servers_known::{are_servers_known, set_ready_when_known};
use signals::{Signals, Stop};

pub use source::Source;
pub use start_error::StartError;

/// How long the start waits for the first lookup of the servers' names.
const FIRST_LOOKUPS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the worker threads may take to end after their requests were cut.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long plugins may take to finish their work after the last request. After a cut they get no time.
const PLUGINS_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a gateway until a signal stops it.
///
/// Calls `started` with the addresses once they accept. A gateway that takes the admin address over from its predecessor
/// calls it again with that address.
///
/// # Errors
/// What prevents the start, with its place in the file.
pub fn run(source: Source, started: impl Fn(&Started) + Send + 'static) -> Result<ExitCode, StartError> {
    let config = source.load()?;
    logging::init(&config.log);
    config.log_warnings();
    raise_open_files();
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    let threads = config.server.threads.map_or_else(cores, Count::as_usize);
    // this runtime accepts, reloads and stops; the workers serve requests
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (running, stopped) = runtime.block_on(serve(source, &config, threads, started))?;
    // ends the accept loops and the admin listener, which hold the workers
    drop(runtime);
    let persistent = running.persistent();
    running.end(WORKERS_TIMEOUT);
    let limit = if stopped == Stopped::Drained { PLUGINS_TIMEOUT } else { Duration::ZERO };
    persistent.plugins.finish(Instant::now() + limit);
    Ok(ExitCode::SUCCESS)
}

/// The addresses of a gateway that has started.
pub struct Started {
    /// The addresses of the listeners, in the order of the YAML, with their real ports.
    pub listeners: Vec<std::net::SocketAddr>,
    /// The address of the admin listener.
    pub admin: Option<std::net::SocketAddr>,
}

async fn serve(
    source: Source,
    config: &Config,
    threads: usize,
    started: impl Fn(&Started) + Send + 'static,
) -> Result<(Running, Stopped), StartError> {
    let metrics = Arc::new(Metrics::new());
    let mut signals = Signals::new()?;
    let admin_socket = AdminSocket::bind(&source, config).await?;
    let mut running = Running::start(source, config, threads, metrics.clone())?;
    let persistent = running.persistent();
    persistent.plugins.collectors().into_iter().for_each(|collector| metrics.include(collector));
    tokio::spawn({
        let persistent = persistent.clone();
        async move { persistent.resolver.run().await }
    });
    persistent.resolver.wait_for_first_lookups(FIRST_LOOKUPS_TIMEOUT).await;
    tokio::spawn({
        let (persistent, snapshot) = (persistent.clone(), running.snapshot());
        async move { persistent.checks.run(persistent.resolver.subscribe(), || snapshot.load().check_targets()).await }
    });

    let readiness = Arc::new(Readiness::default());
    let (reload, mut reloads) = mpsc::channel::<ReloadRequest>(1);
    let mut addresses = Started { listeners: running.listeners().addresses().collect(), admin: None };
    let mut later = None;
    if let Some(socket) = admin_socket {
        let admin = Arc::new(admin_listener::admin(&running, metrics, readiness.clone(), reload));
        addresses.admin = socket.address()?;
        match socket {
            AdminSocket::Bound(socket) => drop(tokio::spawn(admin::serve(socket, admin))),
            AdminSocket::Later(address) => later = Some((address, admin)),
        }
    }
    // the tasks of the checks have not run yet: a first check still to come shows in the servers' states
    if are_servers_known(&persistent, &running.snapshot().load()) {
        readiness.set_ready();
    } else {
        tokio::spawn(set_ready_when_known(persistent.clone(), running.snapshot(), readiness.clone()));
    }
    started(&addresses);
    if let Some((address, admin)) = later {
        tokio::spawn(async move {
            let socket = successor::take_over(address).await;
            if let Ok(address) = socket.local_addr() {
                started(&Started { listeners: Vec::new(), admin: Some(address) });
            }
            admin::serve(socket, admin).await;
        });
    }
    info!(listeners = addresses.listeners.len(), threads; "gateway started");

    let stopped = match reload_until_stopped(&mut running, &mut signals, &mut reloads).await {
        Stop::Now => {
            info!("interrupted; running requests are cut");
            Stopped::Cut
        }
        Stop::Drain => drain(&mut running, &mut signals, &readiness).await,
    };
    Ok((running, stopped))
}

/// Reloads at each `HUP` and each request of the admin listener, until a signal stops the gateway.
async fn reload_until_stopped(
    running: &mut Running,
    signals: &mut Signals,
    reloads: &mut mpsc::Receiver<ReloadRequest>,
) -> Stop {
    let snapshot = running.snapshot();
    loop {
        let request = tokio::select! {
            _ = signals.hangup.recv() => None,
            () = signals.others.recv(&snapshot) => continue,
            Some(request) = reloads.recv() => Some(request),
            stop = signals.stop.recv() => return stop,
        };
        // a reload may wait for names, a stop does not wait for the reload
        let reloaded = tokio::select! {
            reloaded = running.reload() => reloaded,
            stop = signals.stop.recv() => return stop,
        };
        if let Some(request) = request {
            // the operator may have disconnected
            let _ = request.send(reloaded);
        }
    }
}

/// Stops accepting and waits for running requests. Another signal to stop cuts them.
async fn drain(running: &mut Running, signals: &mut Signals, readiness: &Readiness) -> Stopped {
    info!("stopping; running requests may end");
    readiness.set_draining();
    let snapshot = running.snapshot();
    let insist = async {
        loop {
            tokio::select! {
                _ = signals.stop.recv() => return,
                () = signals.others.recv(&snapshot) => {}
            }
        }
    };
    let stopped = running.stop(insist).await;
    match stopped {
        Stopped::Drained => info!("gateway stopped; every request had its end"),
        Stopped::Cut => warn!("gateway stopped; running requests were cut"),
    }
    stopped
}

/// Raises the limit of open files to the hard limit. A connection takes one, a proxied request two.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(error:%; "cannot raise the limit of open files");
    }
}
