//! Runs a gateway from its configuration: start, reloads, signals, upgrade, drain and end.

mod admin_listener;
mod channel;
mod given_sockets;
mod life;
mod listener;
mod listener_tls;
mod listeners;
mod pid_file;
mod predecessor;
mod running;
mod servers_known;
mod signals;
mod source;
mod start_error;
mod successor;
mod supervisor;
mod upgrade;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use located_yaml::ConfigErrors;
use log::{info, warn};
use nix::sys::prctl::set_thp_disable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plugin_api::{Count, Handover};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::{Readiness, ReloadRequest};
use crate::config::Config;
use crate::engine::PersistentState;
use crate::logging;
use crate::metrics::Metrics;

use admin_listener::{AdminListener, AdminSocket, CurrentAdminListener};
use given_sockets::GivenSockets;
use life::Life;
use listeners::{Listeners, ReadTls};
use pid_file::PidFile;
use predecessor::Predecessor;
use running::{Running, Stopped};
use servers_known::{are_servers_known, set_ready_when_known, wait_until_known};
use signals::{EarlySignals, Signals};
use supervisor::Supervisor;
use upgrade::Program;

pub use source::Source;
pub use start_error::StartError;

/// How long the start waits for the first lookup of the servers' names.
const FIRST_LOOKUPS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the worker threads may take to end after their requests were cut.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long plugins may take to finish their work after the last request. After a cut they get no time.
const PLUGINS_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a gateway until a signal stops it, or another process serves in its place.
///
/// Calls `started` with the addresses once they accept. A gateway that takes the admin address over from its predecessor
/// calls it again with that address.
///
/// # Errors
/// What prevents the start, with its place in the file.
pub fn run(source: Source, started: impl Fn(&Started) + Send + 'static) -> Result<ExitCode, StartError> {
    // this runtime accepts, reloads and stops; the workers serve requests
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = runtime.block_on(async { EarlySignals::new() })?;
    let mut given = GivenSockets::default();
    let mut predecessor = Predecessor::find(&mut given)?;
    let ran = try_run(runtime, signals, source, given, &mut predecessor, started);
    if let (Err(error), Some(predecessor)) = (&ran, &predecessor) {
        predecessor.failed(&error.one_line());
    }
    ran
}

fn try_run(
    runtime: Runtime,
    signals: EarlySignals,
    source: Source,
    given: GivenSockets,
    predecessor: &mut Option<Predecessor>,
    started: impl Fn(&Started) + Send + 'static,
) -> Result<ExitCode, StartError> {
    let program = Program::of_this_process()?;
    let config = source.load()?;
    logging::init(&config.log);
    config.log_warnings();
    raise_open_files();
    use_small_pages();
    let (running, stopped) = runtime.block_on(serve(signals, source, &config, given, program, predecessor, started))?;
    // ends the accept loops and the admin listener, which hold the workers. A disk that hangs under a certificate holds up no end
    runtime.shutdown_background();
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
    signals: EarlySignals,
    source: Source,
    config: &Config,
    mut given: GivenSockets,
    program: Program,
    predecessor: &mut Option<Predecessor>,
    started: impl Fn(&Started) + Send + 'static,
) -> Result<(Running, Stopped), StartError> {
    let metrics = Arc::new(Metrics::new());
    let signals = Signals::new(signals)?;
    let supervisor = Supervisor::find();
    given.activate()?;
    let admin_socket = AdminSocket::bind(&source, config, &mut given).await?;
    let tls = ReadTls::load(&config.listeners, source.base());
    let prepared = running::prepare(&source, config, tls, &Listeners::default(), &mut given)?;
    given.log_unused();
    drop(given);

    let persistent = Arc::new(PersistentState::default());
    if let Some(predecessor) = predecessor {
        check_plugin_files(&source, config)?;
        // whatever is wrong with the configuration is known by now, and the other process still has all that it needs
        predecessor.wait_for_turn()?;
        // none of its steps can fail on this side
        let _ = persistent.plugins.hand_over(Handover::Receive);
    }
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    let threads = config.server.threads.map_or_else(cores, Count::as_usize);
    let pid_file = config.server.pid_file.as_ref().map(|path| source.base().join(path));
    let mut running = Running::start(source, config, persistent.clone(), threads, metrics.clone())?;
    persistent.plugins.collectors().into_iter().for_each(|collector| metrics.include(collector));
    tokio::spawn({
        let persistent = persistent.clone();
        async move { persistent.resolver.run().await }
    });
    tokio::spawn({
        let (persistent, snapshot) = (persistent.clone(), running.snapshot());
        async move { persistent.checks.run(persistent.resolver.subscribe(), || snapshot.load().check_targets()).await }
    });
    if predecessor.is_some() {
        // the other process serves meanwhile
        wait_until_known(&persistent, &running.snapshot()).await;
    } else {
        persistent.resolver.wait_for_first_lookups(FIRST_LOOKUPS_TIMEOUT).await;
    }
    running.open(prepared)?;

    let readiness = Arc::new(Readiness::default());
    let (reload, reloads) = mpsc::channel::<ReloadRequest>(1);
    let mut addresses = Started { listeners: running.listeners().addresses().collect(), admin: None };
    let stop_admin = CancellationToken::new();
    let mut later = None;
    let admin_listener = CurrentAdminListener::default();
    if let Some(socket) = admin_socket {
        let admin = Arc::new(admin_listener::admin(&running, metrics, readiness.clone(), reload));
        addresses.admin = socket.address()?;
        match socket {
            AdminSocket::Bound { socket, configured } => {
                let listener = AdminListener::serve(socket, configured, admin, stop_admin.clone())?;
                *admin_listener::lock(&admin_listener) = Some(listener);
            }
            AdminSocket::Later(address) => later = Some((address, admin)),
        }
    }
    let pid_file = pid_file.map(|path| PidFile::write(&path)).transpose()?;
    // the tasks of the checks have not run yet: a first check still to come shows in the servers' states
    if are_servers_known(&persistent, &running.snapshot().load()) {
        readiness.set_ready();
    } else {
        tokio::spawn(set_ready_when_known(persistent.clone(), running.snapshot(), readiness.clone()));
    }
    started(&addresses);
    if let Some((address, admin)) = later {
        let told = move |address| started(&Started { listeners: Vec::new(), admin: Some(address) });
        let (stop, current) = (stop_admin.clone(), admin_listener.clone());
        tokio::spawn(AdminListener::take_over(address, admin, stop, current, told));
    }
    info!(listeners = addresses.listeners.len(), threads, pid = std::process::id(); "gateway started");
    supervisor.ready();
    if let Some(predecessor) = predecessor.take() {
        predecessor.ready();
        let _ = persistent.plugins.hand_over(Handover::Received);
    }
    let life = Life { running, signals, reloads, readiness, supervisor, program, admin_listener, stop_admin, pid_file };
    Ok(life.live().await)
}

/// Reads the files that plugins name, as building the plugins does once this process has what only one may have.
fn check_plugin_files(source: &Source, config: &Config) -> Result<(), ConfigErrors> {
    let faults = config.plugin_file_faults(source.base());
    if faults.is_empty() { Ok(()) } else { Err(source.errors(faults)) }
}

/// Has the kernel give out memory in pages of 4 KiB. With huge ones, a read buffer of which a stream of events fills a few hundred bytes takes
/// all of its 64 KiB.
fn use_small_pages() {
    if let Err(error) = set_thp_disable(true) {
        warn!(error:%; "cannot turn off huge pages: connections take more memory");
    }
}

/// Raises the limit of open files to the hard limit. A client's connection takes one, a plain one to a server two.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(error:%; "cannot raise the limit of open files");
    }
}
