//! One listener: accepts connections, no more at once than it may, and gives them to the workers.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use log::error;
use plugin_api::LogLimit;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use crate::engine::{Accepted, Workers};
use crate::metrics::Metrics;

/// Connections that the system may queue before they are accepted.
const BACKLOG: u32 = 4096;
/// How long to wait after an accept that failed, for descriptors above all.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
pub struct Listener {
    /// The address in the YAML, which may say port 0.
    pub configured: SocketAddr,
    /// The address it really has.
    pub local: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

/// What its accept loop, its connections and a reload share.
struct Shared {
    tls: RwLock<Option<TlsAcceptor>>,
    open: AtomicUsize,
    max: AtomicUsize,
    closed_one: Notify,
}

/// What a listener needs to serve.
#[derive(Clone)]
pub struct Service {
    /// The threads that serve.
    pub workers: Workers,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}

/// Takes an address.
///
/// # Errors
/// Why it cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // or a restart would have to wait for the connections of the last run to be forgotten
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// Begins to accept on a bound socket.
    ///
    /// # Errors
    /// That its address cannot be told.
    pub fn serve(
        socket: TcpListener,
        configured: SocketAddr,
        max_connections: usize,
        tls: Option<TlsAcceptor>,
        service: Service,
    ) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let shared = Arc::new(Shared {
            tls: RwLock::new(tls),
            open: AtomicUsize::new(0),
            max: AtomicUsize::new(max_connections),
            closed_one: Notify::new(),
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept(socket, local, shared.clone(), stopped, service));
        Ok(Self { configured, local, shared, stop })
    }

    /// Changes what can change while it serves. Connections that are open keep what they have.
    pub fn change(&self, max_connections: usize, tls: Option<TlsAcceptor>) {
        *self.shared.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        self.shared.max.store(max_connections, Ordering::Relaxed);
        self.shared.closed_one.notify_one();
    }
}

impl Drop for Listener {
    /// Accepts no more; open connections go on.
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn accept(
    socket: TcpListener,
    local: SocketAddr,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
    service: Service,
) {
    let label = local.to_string();
    let failures = LogLimit::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => return,
            accepted = shared.accept(&socket) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let tls = shared.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
                let held = Box::new((slot, service.metrics.connection_in_flight(&label)));
                // out of this runtime, into that of a worker; a socket that cannot go is gone
                if let Ok(stream) = stream.into_std() {
                    service.workers.give(Accepted { stream, peer, tls, held });
                }
            }
            Err(error) => {
                if let Some(suppressed) = failures.pass(error.kind()) {
                    let listener = label.as_str();
                    error!(listener, error:%, suppressed; "cannot accept a connection; raise the limit of open files");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Shared {
    /// The next connection, once there is room for it. Until then, the system's queue holds it.
    async fn accept(self: &Arc<Self>, socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr, Slot)> {
        while self.open.load(Ordering::Relaxed) >= self.max.load(Ordering::Relaxed) {
            self.closed_one.notified().await;
        }
        let (stream, peer) = socket.accept().await?;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok((stream, peer, Slot(self.clone())))
    }
}

/// One connection's place among those that may be open.
struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.closed_one.notify_one();
    }
}
