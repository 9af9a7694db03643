//! One listener: accepts connections up to its limit and passes them to the workers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use log::error;
use plugin_api::LogLimit;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::engine::{Accepted, Workers};
use crate::metrics::Metrics;

/// Connections that the system may queue before they are accepted.
const BACKLOG: u32 = 4096;
/// Pause after a failed accept, which most often lacks a file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener. Dropping it stops accepting; open connections stay.
pub struct Listener {
    /// The address in the YAML, which may have port 0.
    pub configured: SocketAddr,
    /// The address with the real port.
    pub local: SocketAddr,
    socket: Arc<TcpListener>,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// State shared by the accept loop, its connections and reloads.
struct Shared {
    tls: RwLock<Option<TlsAcceptor>>,
    open: AtomicUsize,
    max: AtomicUsize,
    proxy_protocol: AtomicBool,
    closed_one: Notify,
}

/// Settings of a listener that can change while it serves.
#[derive(Clone, Copy)]
pub struct Options {
    /// Connections that may be open at once.
    pub max_connections: usize,
    /// Whether each begins with a PROXY protocol header.
    pub proxy_protocol: bool,
}

/// What a listener needs to serve.
#[derive(Clone)]
pub struct Service {
    /// The threads that serve.
    pub workers: Workers,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}

/// Binds an address and listens.
///
/// # Errors
/// The system's error, such as an address in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        // as nginx has it: IPv4 has a listener of its own, and no client is `::ffff:…`
        SockRef::from(&socket).set_only_v6(true)?;
    }
    // without it, a restart would wait until the system forgets the connections of the last run
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// Starts an accept loop on a bound socket, as a task of `accepting`.
    ///
    /// # Errors
    /// The socket has no local address.
    pub fn serve(
        socket: TcpListener,
        configured: SocketAddr,
        options: Options,
        tls: Option<TlsAcceptor>,
        service: Service,
        accepting: &mut JoinSet<()>,
    ) -> io::Result<Self> {
        let (local, socket) = (socket.local_addr()?, Arc::new(socket));
        let shared = Arc::new(Shared {
            tls: RwLock::new(tls),
            open: AtomicUsize::new(0),
            max: AtomicUsize::new(options.max_connections),
            proxy_protocol: AtomicBool::new(options.proxy_protocol),
            closed_one: Notify::new(),
        });
        let stop = CancellationToken::new();
        accepting.spawn(accept(socket.clone(), (configured, local), shared.clone(), stop.clone(), service));
        Ok(Self { configured, local, socket, shared, _stop: stop.drop_guard() })
    }

    /// Its socket once more, for another process.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Serves these certificates from now on. Open connections keep theirs.
    pub fn change_tls(&self, tls: Option<TlsAcceptor>) {
        *self.shared.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
    }

    /// Applies settings that can change while it serves. Open connections keep theirs.
    pub fn change(&self, options: Options, tls: Option<TlsAcceptor>) {
        self.change_tls(tls);
        self.shared.max.store(options.max_connections, Ordering::Relaxed);
        self.shared.proxy_protocol.store(options.proxy_protocol, Ordering::Relaxed);
        self.shared.closed_one.notify_one();
    }
}

async fn accept(
    socket: Arc<TcpListener>,
    (listener, local): (SocketAddr, SocketAddr),
    shared: Arc<Shared>,
    stop: CancellationToken,
    service: Service,
) {
    let label = local.to_string();
    let connections = service.metrics.listener(&label);
    let failures = LogLimit::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = shared.accept(&socket) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let tls = shared.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
                let proxy_protocol = shared.proxy_protocol.load(Ordering::Relaxed);
                let held = Box::new((slot, connections.count()));
                // from this runtime to that of a worker; this fails only for a closed socket
                if let Ok(stream) = stream.into_std() {
                    service.workers.give(Accepted { stream, peer, local, listener, proxy_protocol, tls, held });
                }
            }
            Err(error) => {
                if let Some(suppressed) = failures.pass(error.kind()) {
                    error!(listener:% = label, error:%, suppressed; "cannot accept a connection; raise the limit of open files");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Shared {
    /// Accepts the next connection once the limit allows it. Until then it waits in the system's queue.
    async fn accept(self: &Arc<Self>, socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr, Slot)> {
        while self.open.load(Ordering::Relaxed) >= self.max.load(Ordering::Relaxed) {
            self.closed_one.notified().await;
        }
        let (stream, peer) = socket.accept().await?;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok((stream, peer, Slot(self.clone())))
    }
}

/// A connection's share of the limit, given back on drop.
struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed_one.notify_one();
    }
}
