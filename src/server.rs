//! A configuration becomes a running gateway: its runtime, its listeners, its signals, its end.

mod listener;
mod listeners;
mod running;
mod servers_known;
mod signals;
mod source;
mod start_error;
mod successor;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plugin_api::Count;
use tokio::sync::mpsc;

use crate::admin::{self, Admin, Readiness, ReloadRequest, UpstreamSeen};
use crate::balance::ServerView;
use crate::config::Config;
use crate::engine::{Lasting, Snapshot};
use crate::logging;
use crate::metrics::Metrics;

use running::{Running, Stopped};
use servers_known::{are_servers_known, set_ready_when_known};
use signals::{Signals, Stop};

pub use source::Source;
pub use start_error::StartError;

/// How long the start waits for the first lookup of the servers' names.
const FIRST_LOOKUPS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the worker threads may take to end after their requests were cut.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long plugins may take to finish what is under way, once every request had its end. Where requests were cut, nobody
/// waits for that either.
const FINISH: Duration = Duration::from_secs(10);

/// Runs a gateway until it is told to stop.
///
/// `started` is told the addresses once they accept: those of a gateway that takes over the admin listener of another one
/// in two parts.
///
/// # Errors
/// What keeps it from starting, with its place in the file.
pub fn run(source: Source, started: impl Fn(&Started) + Send + 'static) -> Result<ExitCode, StartError> {
    let config = source.load()?;
    logging::init(&config.log);
    config.log_warnings();
    raise_open_files();
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    let threads = config.server.threads.map_or_else(cores, Count::as_usize);
    // accepts, reloads and stops; requests are served by the workers
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (running, stopped) = runtime.block_on(serve(source, &config, threads, started))?;
    // accept loops and the admin listener, which hold on to the workers, go first
    drop(runtime);
    let lasting = running.lasting();
    running.end(WORKERS_TIMEOUT);
    let patience = if stopped == Stopped::Drained { FINISH } else { Duration::ZERO };
    lasting.plugins.finish(Instant::now() + patience);
    Ok(ExitCode::SUCCESS)
}

/// What a gateway tells when it has started.
pub struct Started {
    /// Its listeners' addresses, in the order of the YAML, with the real ports.
    pub listeners: Vec<std::net::SocketAddr>,
    /// The admin listener's.
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
    let admin_socket = admin_socket(&source, config).await?;
    let mut running = Running::start(source, config, threads, metrics.clone())?;
    let lasting = running.lasting();
    lasting.plugins.collectors().into_iter().for_each(|figures| metrics.include(figures));
    tokio::spawn({
        let lasting = lasting.clone();
        async move { lasting.resolver.run().await }
    });
    lasting.resolver.wait_for_first_lookups(FIRST_LOOKUPS_TIMEOUT).await;
    tokio::spawn({
        let (lasting, snapshot) = (lasting.clone(), running.snapshot());
        async move { lasting.checks.run(lasting.resolver.subscribe(), || snapshot.load().check_targets()).await }
    });

    let readiness = Arc::new(Readiness::default());
    let (reload, mut reloads) = mpsc::channel::<ReloadRequest>(1);
    let mut addresses = Started { listeners: running.listeners().addresses().collect(), admin: None };
    let mut later = None;
    if let Some(socket) = admin_socket {
        let snapshot = running.snapshot();
        let plugins = lasting.plugins.admin_routes();
        let known_host = {
            let snapshot = snapshot.clone();
            Box::new(move |host: &str| snapshot.load().admin_hosts.iter().any(|known| known.takes(host)))
        };
        let lasting = lasting.clone();
        let upstreams = Box::new(move || look(&snapshot.load(), &lasting));
        let admin = Admin { metrics, readiness: readiness.clone(), reload, plugins, known_host, upstreams };
        match socket {
            AdminSocket::Bound(socket) => {
                addresses.admin = Some(socket.local_addr()?);
                tokio::spawn(admin::serve(socket, Arc::new(admin)));
            }
            AdminSocket::Later(address) => later = Some((address, admin)),
        }
    }
    // the tasks of the checks have not run yet: a first check still to come shows in the servers' states
    if are_servers_known(&lasting, &running.snapshot().load()) {
        readiness.set_ready();
    } else {
        tokio::spawn(set_ready_when_known(lasting.clone(), running.snapshot(), readiness.clone()));
    }
    started(&addresses);
    if let Some((address, admin)) = later {
        tokio::spawn(async move {
            let socket = successor::take_over(address).await;
            if let Ok(address) = socket.local_addr() {
                started(&Started { listeners: Vec::new(), admin: Some(address) });
            }
            admin::serve(socket, Arc::new(admin)).await;
        });
    }
    info!(listeners = addresses.listeners.len(), threads; "gateway started");

    let snapshot = running.snapshot();
    let signal = loop {
        let asked = tokio::select! {
            _ = signals.hangup.recv() => None,
            () = signals.others.recv(&snapshot) => continue,
            Some(request) = reloads.recv() => Some(request),
            signal = signals.stop.recv() => break signal,
        };
        // it may wait for names; who stops the gateway need not
        let reloaded = tokio::select! {
            reloaded = running.reload() => reloaded,
            signal = signals.stop.recv() => break signal,
        };
        if let Some(request) = asked {
            // whoever asked may have left
            let _ = request.send(reloaded);
        }
    };
    if signal == Stop::Now {
        info!("interrupted; what still runs is cut");
        return Ok((running, Stopped::Cut));
    }
    info!("stopping; running requests may end");
    readiness.set_draining();
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
    Ok((running, stopped))
}

/// What an operator sees of the upstreams.
fn look(snapshot: &Snapshot, lasting: &Lasting) -> Vec<UpstreamSeen> {
    let last_check = |view: &ServerView| lasting.checks.last(&view.server);
    let upstreams = snapshot.upstreams.iter();
    let mut seen = upstreams.map(|up| UpstreamSeen::look(&up.name, &up.pool, last_check)).collect();
    UpstreamSeen::add_leaving(&mut seen, &lasting.registry.servers());
    seen
}

/// The admin listener's socket, or where it will be.
enum AdminSocket {
    Bound(tokio::net::TcpListener),
    /// Another gateway has it, which is stopping.
    Later(SocketAddr),
}

async fn admin_socket(source: &Source, config: &Config) -> Result<Option<AdminSocket>, StartError> {
    let Some(admin) = &config.admin else { return Ok(None) };
    let address = &admin.address;
    match listener::bind(address.value) {
        Ok(socket) => Ok(Some(AdminSocket::Bound(socket))),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && successor::is_draining(address.value).await => {
            Ok(Some(AdminSocket::Later(address.value)))
        }
        Err(error) => {
            let what = format!("cannot listen on {}: {error}", address.value);
            Err(StartError::Config(source.errors(vec![(address.at, "admin.address".into(), what)])))
        }
    }
}

/// Raises the limit of open files to what the system allows: a connection takes one, a proxied request two.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(error:%; "cannot raise the limit of open files");
    }
}
