//! One thread that serves connections, sharing nothing with its neighbours: its own runtime, its own upstream
//! connections. A connection stays where it is put, so no request ever waits for another core's cache.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::thread::{JoinHandle, available_parallelism};
use std::time::Duration;

use log::{debug, error, info};
use pingora_core::apps::HttpServerApp;
use pingora_core::server::ShutdownWatch;
use plugin_api::{ConnectionInfo, LogLimit, SendError, UpstreamRequest};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::client_timeout::ClientTimeout;
use super::connection::{Connection, Permits};
use super::idle_sockets;
use super::plugin_request::{self, Begun};
use super::proxy_protocol;
use super::refusal::{Bounds, Refusal};
use super::serving::serve as serve_requests;
use super::timer::{Timer, with_deadlines};
use super::turn;
use super::worker_proxy::WorkerProxy;

/// A connection that was accepted and is yet to be served.
pub struct Accepted {
    /// The socket, not yet in any runtime.
    pub stream: TcpStream,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address of the listener, with its real port.
    pub local: SocketAddr,
    /// The same as the YAML writes it.
    pub listener: SocketAddr,
    /// Whether it begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// TLS, if its listener speaks it.
    pub tls: Option<TlsAcceptor>,
    /// The permits that it holds while it is open.
    pub held: Box<dyn Send + Sync>,
}

/// The threads that serve.
#[derive(Clone)]
pub struct Workers(Arc<[Worker]>);

/// The same, without keeping them running.
#[derive(Clone)]
pub struct WeakWorkers(Weak<[Worker]>);

thread_local! {
    /// The number of the worker that this thread is.
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// What a worker is given.
enum Work {
    /// A connection to serve.
    Connection(Accepted),
    /// A plugin's own request to carry.
    Request(Box<(UpstreamRequest, oneshot::Sender<Result<Begun, SendError>>)>),
}

struct Worker {
    queue: mpsc::UnboundedSender<(Work, Open)>,
    open: Arc<AtomicUsize>,
    proxy: Arc<WorkerProxy>,
}

/// The threads themselves, to wait for.
pub struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Disconnected when the last of them has ended.
    running: Receiver<Infallible>,
}

impl Workers {
    /// Starts this many threads, each with a proxy of its own.
    ///
    /// # Errors
    /// A thread or its runtime could not be started.
    pub fn start(
        threads: usize,
        proxy: impl Fn() -> WorkerProxy,
        shutdown: &ShutdownWatch,
    ) -> io::Result<(Self, Threads)> {
        let mut workers = Vec::with_capacity(threads);
        let mut handles = Vec::with_capacity(threads);
        let (runs, running) = std::sync::mpsc::channel();
        let blocking = available_parallelism().map_or(1, NonZeroUsize::get);
        for number in 0..threads {
            let (queue, accepted) = mpsc::unbounded_channel();
            let proxy = Arc::new(proxy());
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            // long work has a slot of the process, of which there are no more than cores: it never waits for a thread too
            let runtime = runtime.max_blocking_threads(blocking).enable_all().build()?;
            let serving = serve(accepted, proxy.clone(), shutdown.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let runs = runs.clone();
            let work = move || {
                let _runs = runs;
                CURRENT.set(Some(number));
                runtime.block_on(serving);
                drop(runtime);
            };
            handles.push(thread.spawn(work)?);
            workers.push(Worker { queue, open: Arc::default(), proxy });
        }
        Ok((Self(workers.into()), Threads { handles, running }))
    }

    /// Gives a connection to the thread that has the fewest.
    pub fn give(&self, accepted: Accepted) {
        let Some(worker) = self.0.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed)) else { return };
        // the thread has stopped: the connection is dropped
        let _ = worker.queue.send((Work::Connection(accepted), Open::new(&worker.open)));
    }

    /// The same workers, without keeping them running.
    #[must_use]
    pub fn downgrade(&self) -> WeakWorkers {
        WeakWorkers(Arc::downgrade(&self.0))
    }

    /// Ends idle connections.
    pub async fn end_idle(&self) {
        for worker in self.0.iter() {
            worker.proxy.http_cleanup().await;
        }
    }
}

impl WeakWorkers {
    /// Gives a plugin's request to the thread that asks, if it is a worker, else to the one that has the least to do. `false` if none
    /// runs any more.
    #[must_use]
    pub fn send(&self, request: UpstreamRequest, begins: oneshot::Sender<Result<Begun, SendError>>) -> bool {
        let Some(workers) = self.0.upgrade() else { return false };
        let own = CURRENT.get().and_then(|number| workers.get(number));
        let least = || workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed));
        let Some(worker) = own.or_else(least) else { return false };
        worker.queue.send((Work::Request(Box::new((request, begins))), Open::new(&worker.open))).is_ok()
    }
}

impl Threads {
    /// Waits until all have let go, but no longer than this. Their queues must have been dropped.
    pub fn join(self, client_timeout: Duration) {
        // nothing is ever sent: it ends when all have, or when the time is up
        let all_ended = self.running.recv_timeout(client_timeout) == Err(RecvTimeoutError::Disconnected);
        for thread in self.handles {
            if (all_ended || thread.is_finished()) && thread.join().is_err() {
                error!("a worker thread panicked; please report it");
            }
        }
    }
}

/// Serves connections until the queue is closed. Those that are still open then are dropped with the runtime.
async fn serve(mut queue: mpsc::UnboundedReceiver<(Work, Open)>, proxy: Arc<WorkerProxy>, shutdown: ShutdownWatch) {
    tokio::spawn(turn::end_turns());
    tokio::spawn(idle_sockets::sweep(proxy.kept_connections()));
    while let Some((work, open)) = queue.recv().await {
        let (proxy, shutdown) = (proxy.clone(), shutdown.clone());
        match work {
            Work::Connection(connection) => {
                let peer = connection.peer;
                // boxed: a handshake takes more memory than all that an open connection needs
                let opening = Box::pin(handshake(connection, proxy.clone(), shutdown.clone()));
                drop(tokio::spawn(async move {
                    let _open = open;
                    serve_one(opening, peer, &proxy, &shutdown).await;
                }));
            }
            Work::Request(sent) => drop(tokio::spawn(async move {
                let _open = open;
                let (request, begins) = *sent;
                plugin_request::carry(request, begins, &proxy).await;
            })),
        }
    }
}

async fn serve_one(
    opening: impl Future<Output = Option<Opened>>,
    peer: SocketAddr,
    proxy: &Arc<WorkerProxy>,
    shutdown: &ShutdownWatch,
) {
    let Some(Opened { connection, refused, held: _held }) = opening.await else { return };
    let limits = proxy.limits();
    let timer = Timer::new(limits.header_timeout, limits.header_timeout);
    timer.client_may_stall(limits.longest_idle);
    if connection.is_h2() {
        timer.over(); // its streams have their own
    }
    // boxed, since futures that pass one on have room for it twice
    let served = Box::pin(serve_requests(proxy, connection, shutdown));
    let mut refused = refused;
    // most turns bring an event of a stream, and none looks at what is refused before there is something
    let refused = poll_fn(|cx| if timer.is_refused() { Pin::new(&mut refused).poll(cx) } else { Poll::Pending });
    // a connection that its timer ends is dropped here, with all that it holds
    let refusal = tokio::select! {
        biased;
        _ = with_deadlines(timer.clone(), served) => return,
        Ok(refusal) = refused => refusal,
    };
    let mut stopping = shutdown.clone();
    let settled = Box::pin(refusal.settle(proxy.snapshot(), peer));
    tokio::select! {
        () = settled => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

/// A connection that is ready for requests.
struct Opened {
    connection: Box<Connection>,
    /// What Pingora must not answer.
    refused: oneshot::Receiver<Box<Refusal>>,
    /// The permits that it holds while it is open.
    held: Arc<Permits>,
}

/// Does the handshakes of a connection. `None` if the client is gone, or has failed one.
async fn handshake(accepted: Accepted, proxy: Arc<WorkerProxy>, shutdown: ShutdownWatch) -> Option<Opened> {
    let Accepted { stream, peer, local, listener, proxy_protocol, tls, held } = accepted;
    // small events must leave at once
    let stream = stream.set_nodelay(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
    let mut stream = stream.ok()?;
    // a listener for all addresses knows none of its own
    let local = if local.ip().is_unspecified() { stream.local_addr().unwrap_or(local) } else { local };
    let mut info = ConnectionInfo {
        peer: Some(canonical(peer)),
        local: Some(canonical(local)),
        listener: Some(listener),
        proxied: None,
        tls: None,
    };
    let limits = proxy.limits();
    let mut client_timeout = ClientTimeout { limit: limits.header_timeout, stopping: shutdown };
    if proxy_protocol {
        match client_timeout.with(proxy_protocol::read(&mut stream)).await {
            Ok(named) => info.proxied = named.filter(|_| proxy.trusts(peer.ip())),
            Err(error) => {
                report_no_header(peer, &error);
                return None;
            }
        }
    }
    let (refusal, refused) = oneshot::channel();
    let held = Arc::new(Permits::new(held));
    let bounds = Bounds { max_header: limits.max_header, refusal, permits: held.clone() };
    let connection = match tls {
        None => Connection::plain(stream, info, client_timeout, bounds),
        Some(acceptor) => match Connection::tls(stream, info, &acceptor, client_timeout, bounds).await {
            Ok(connection) => connection,
            Err(error) => {
                debug!(client:% = peer, error:%; "TLS handshake failed");
                return None;
            }
        },
    };
    Some(Opened { connection: Box::new(connection), refused, held })
}

/// Reports a connection that is closed because it does not begin as the YAML says: the first at once, then one a minute.
fn report_no_header(peer: SocketAddr, error: &io::Error) {
    static MISSING: LogLimit<io::ErrorKind> = LogLimit::new();
    if let Some(suppressed) = MISSING.pass(error.kind()) {
        let hint =
            "connection without a PROXY protocol header; let the load balancer send one, or remove proxy_protocol";
        info!(client:% = peer, error:%, suppressed; "{hint}");
    }
}

/// The address without IPv6 around IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A connection's place among those of its thread.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
