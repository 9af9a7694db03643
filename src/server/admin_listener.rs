//! The admin listener of a running gateway: binds its address, or waits for the predecessor that still has it, and connects
//! it with what it shows and controls.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::error;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Dashboard, Readiness, ReloadRequest, UpstreamSeen};
use crate::balance::ServerView;
use crate::config::Config;
use crate::engine::{PersistentState, Snapshot};
use crate::metrics::Metrics;

use super::given_sockets::{GivenSockets, Role};
use super::running::Running;
use super::servers_known::what_is_unknown;
use super::source::Source;
use super::start_error::StartError;
use super::upgrade::Passed;
use super::{listener, successor};

/// The socket of the admin listener.
pub(super) enum AdminSocket {
    /// It is bound, for this address in the YAML.
    Bound { socket: TcpListener, configured: SocketAddr },
    /// A gateway that is stopping still has this address.
    Later(SocketAddr),
}

impl AdminSocket {
    /// Binds the configured address, if no socket is given for it; `None` if there is none.
    ///
    /// # Errors
    /// The address cannot be bound, and no gateway that is stopping has it.
    pub async fn bind(source: &Source, config: &Config, given: &mut GivenSockets) -> Result<Option<Self>, StartError> {
        let Some(admin) = &config.admin else { return Ok(None) };
        let address = &admin.address;
        let socket = match given.take(Role::Admin, address.value)? {
            Some(socket) => Ok(socket),
            None => listener::bind(address.value),
        };
        match socket {
            Ok(socket) => Ok(Some(Self::Bound { socket, configured: address.value })),
            Err(error) if error.kind() == ErrorKind::AddrInUse && successor::is_draining(address.value).await => {
                Ok(Some(Self::Later(address.value)))
            }
            Err(error) => {
                let what = format!("cannot listen on {}: {error}", address.value);
                Err(StartError::Config(source.errors(vec![(address.at, "admin.address".into(), what)])))
            }
        }
    }

    /// The address with the real port; `None` while a predecessor has it.
    ///
    /// # Errors
    /// The bound socket has no address.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Bound { socket, .. } => socket.local_addr().map(Some),
            Self::Later(_) => Ok(None),
        }
    }
}

/// The admin listener, as far as another process needs it.
#[derive(Debug)]
pub(super) struct AdminListener {
    configured: SocketAddr,
    socket: OwnedFd,
}

/// The admin listener of this process, if it has one now: it may still have to take the address over from another one.
pub(super) type CurrentAdminListener = Arc<Mutex<Option<AdminListener>>>;

impl AdminListener {
    /// Serves on a socket until `stop`.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn serve(
        socket: TcpListener,
        configured: SocketAddr,
        admin: Arc<Admin>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let own = socket.as_fd().try_clone_to_owned()?;
        tokio::spawn(admin::serve(socket, admin, stop));
        Ok(Self { configured, socket: own })
    }

    /// Takes the address over from the gateway that is stopping, and serves there. Ends without that once `stop` is cancelled.
    pub async fn take_over(
        configured: SocketAddr,
        admin: Arc<Admin>,
        stop: CancellationToken,
        current: CurrentAdminListener,
        started: impl Fn(SocketAddr) + Send,
    ) {
        let Some(socket) = stop.run_until_cancelled(successor::take_over(configured)).await else { return };
        let local = socket.local_addr();
        match Self::serve(socket, configured, admin, stop) {
            Ok(listener) => *lock(&current) = Some(listener),
            Err(error) => error!(error:%; "the admin listener cannot serve"),
        }
        if let Ok(local) = local {
            started(local);
        }
    }

    /// Its socket, for a process that takes over.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn passed(&self) -> io::Result<Passed> {
        Ok((Role::Admin, self.configured, self.socket.try_clone()?))
    }
}

/// The listener that there is now.
pub(super) fn lock(current: &CurrentAdminListener) -> MutexGuard<'_, Option<AdminListener>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The views and controls of this gateway's admin listener. Reloads are requested through `reload`.
pub(super) fn admin(
    running: &Running,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    reload: mpsc::Sender<ReloadRequest>,
) -> Admin {
    let (persistent, snapshot) = (running.persistent(), running.snapshot());
    let plugins = persistent.plugins.admin_routes();
    let known_host = {
        let snapshot = snapshot.clone();
        Box::new(move |host: &str| snapshot.load().admin_hosts.iter().any(|known| known.takes(host)))
    };
    let waiting_for = {
        let (persistent, snapshot) = (persistent.clone(), snapshot.clone());
        Box::new(move || what_is_unknown(&persistent, &snapshot.load()))
    };
    let token = {
        let snapshot = snapshot.clone();
        Box::new(move || snapshot.load().admin_token.clone())
    };
    let shown = running.shown();
    let config = Box::new(move || Value::clone(&shown.load()));
    let upstreams = Box::new(move || upstreams_seen(&snapshot.load(), &persistent));
    let dashboard = Dashboard::default();
    Admin { metrics, readiness, waiting_for, reload, plugins, known_host, token, config, dashboard, upstreams }
}

/// The upstreams of the current configuration, and the servers of older ones that still have requests in flight.
fn upstreams_seen(snapshot: &Snapshot, persistent: &PersistentState) -> Vec<UpstreamSeen> {
    let last_check = |view: &ServerView| persistent.checks.last(&view.server);
    let upstreams = snapshot.upstreams.iter();
    let mut seen = upstreams.map(|up| UpstreamSeen::look(&up.name, &up.pool, last_check)).collect();
    UpstreamSeen::add_leaving(&mut seen, &persistent.registry.servers());
    seen
}
