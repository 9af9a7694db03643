//! A provider that does exactly what a test tells it to, over real sockets, and keeps all that it sees.

mod frames;
mod http1;
mod http2;
mod received;
mod refusing;
mod script;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Issued};
use super::wait::{eventually, found};

pub use frames::{
    Act, CANCEL, Came, ENHANCE_YOUR_CALM, Frames, HTTP_1_1_REQUIRED, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, frames,
};
pub use received::{Closed, Framing, Received};
pub use refusing::refusing;
pub use script::{Feed, Gate, Script, answer, feed, gate, sse};

/// A provider in plain text, HTTP/1.1. Until it is told otherwise it answers everything with 200 and `hello`.
pub async fn origin() -> Origin {
    Origin::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), Protocol::Plain, None)
}

/// What a TLS provider offers in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2, or HTTP/1.1 where the client does not know it.
    H2,
    /// HTTP/1.1 alone.
    Http1,
}

/// A provider behind TLS, with a certificate for these names.
pub async fn tls_origin(authority: &Authority, names: &[&str], alpn: Alpn) -> Origin {
    tls_origin_as(&authority.issue(names), authority.pem(), alpn).await
}

/// A provider behind TLS, with this certificate; a gateway before it trusts these authorities.
pub async fn tls_origin_as(identity: &Issued, authorities: &str, alpn: Alpn) -> Origin {
    let offered: &[&str] = if alpn == Alpn::H2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
    let acceptor = TlsAcceptor::from(identity.server(offered));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Origin::start(listener, Protocol::Tls(acceptor), Some(authorities.to_owned()))
}

/// A provider; it ends with the test.
pub struct Origin {
    address: SocketAddr,
    tls: bool,
    authority: Option<String>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

enum Protocol {
    Plain,
    Tls(TlsAcceptor),
}

type Answers = Arc<dyn Fn(&Received) -> Script + Send + Sync>;

/// What the provider and its connections share.
struct Shared {
    standing: Mutex<Answers>,
    next: Mutex<VecDeque<Script>>,
    requests: Mutex<Vec<Received>>,
    connections: Mutex<Vec<Option<(Instant, Closed)>>>,
    open_streams: AtomicUsize,
    most_streams: AtomicUsize,
    reads: watch::Sender<bool>,
}

impl Origin {
    fn start(listener: TcpListener, protocol: Protocol, authority: Option<String>) -> Self {
        let shared = Arc::new(Shared {
            standing: Mutex::new(Arc::new(|request| {
                answer(200).body(if request.method == "HEAD" { "" } else { "hello" })
            })),
            next: Mutex::default(),
            requests: Mutex::default(),
            connections: Mutex::default(),
            open_streams: AtomicUsize::new(0),
            most_streams: AtomicUsize::new(0),
            reads: watch::Sender::new(true),
        });
        let (address, tls) = (listener.local_addr().unwrap(), matches!(protocol, Protocol::Tls(_)));
        let accepting = tokio::spawn(accept(listener, protocol, shared.clone()));
        Self { address, tls, authority, shared, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as the YAML of a gateway writes it.
    pub fn server(&self) -> String {
        if self.tls { format!("https://localhost:{}", self.address.port()) } else { self.address.to_string() }
    }

    /// The authority that signed its certificate, in PEM.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// From now on, this is what becomes of every request.
    pub fn answers(&self, script: Script) {
        self.answers_with(move |_| script.clone());
    }

    /// From now on, this decides from its head what becomes of every request.
    pub fn answers_with(&self, answers: impl Fn(&Received) -> Script + Send + Sync + 'static) {
        *self.shared.standing.lock().unwrap() = Arc::new(answers);
    }

    /// This becomes of the next request, or of the one behind those that were told so before.
    pub fn answers_next(&self, script: Script) {
        self.shared.next.lock().unwrap().push_back(script);
    }

    /// The requests whose heads have come so far.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many requests have come so far.
    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// Waits for the request with this number, from 0 on, in full.
    pub async fn request(&self, number: usize) -> Received {
        self.request_that(number, "a whole request", |request| request.complete).await
    }

    /// Waits for the head of the request with this number.
    pub async fn request_head(&self, number: usize) -> Received {
        self.request_that(number, "the head of a request", |_| true).await
    }

    /// Waits until the peer gives up the request with this number before it has its whole answer.
    pub async fn abandoned(&self, number: usize) -> Received {
        self.request_that(number, "a request that is given up", |request| request.abandoned.is_some()).await
    }

    /// Waits until the answer to the request with this number has been written.
    pub async fn answered(&self, number: usize) -> Received {
        self.request_that(number, "an answer that is written", |request| request.answered.is_some()).await
    }

    /// Connections that were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.connections.lock().unwrap().iter().filter(|closed| closed.is_none()).count()
    }

    /// Whether, when and by whom a connection was closed.
    pub fn closed(&self, connection: usize) -> Option<(Instant, Closed)> {
        self.shared.connections.lock().unwrap()[connection]
    }

    /// Waits until all its connections are closed.
    pub async fn all_closed(&self) {
        eventually("all connections closed", async || self.open_connections() == 0).await;
    }

    /// Requests that are being answered now, over all connections.
    pub fn open_streams(&self) -> usize {
        self.shared.open_streams.load(Ordering::SeqCst)
    }

    /// The most that were answered at one time.
    pub fn most_streams(&self) -> usize {
        self.shared.most_streams.load(Ordering::SeqCst)
    }

    /// Reads nothing from its HTTP/1.1 connections, until it reads again.
    pub fn reads(&self, reads: bool) {
        self.shared.reads.send_replace(reads);
    }

    /// Stops to listen and breaks all connections.
    pub async fn stop(self) -> SocketAddr {
        self.accepting.abort();
        eventually("an end", async || self.accepting.is_finished()).await;
        self.address
    }

    /// Listens again where another was stopped, in plain text.
    pub fn again(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self::start(socket.listen(1024).unwrap(), Protocol::Plain, None)
    }

    async fn request_that(&self, number: usize, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
        let what = format!("{what} (number {number})");
        found(&what, async || self.shared.requests.lock().unwrap().get(number).filter(|found| fits(found)).cloned())
            .await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A connection of any kind.
type Io = Pin<Box<dyn Duplex>>;

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

async fn accept(listener: TcpListener, protocol: Protocol, shared: Arc<Shared>) {
    let protocol = Arc::new(protocol);
    // they end with this task
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, protocol.clone(), shared.clone()));
    }
}

async fn serve(stream: TcpStream, protocol: Arc<Protocol>, shared: Arc<Shared>) {
    stream.set_nodelay(true).unwrap();
    let connection = shared.opened();
    let socket: Socket = SockRef::from(&stream).try_clone().unwrap();
    match &*protocol {
        Protocol::Plain => http1::serve(Box::pin(stream), socket, connection, shared).await,
        Protocol::Tls(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                http2::serve(Box::pin(stream), socket, connection, shared).await;
            }
            Ok(stream) => http1::serve(Box::pin(stream), socket, connection, shared).await,
            Err(_) => shared.closed(connection, Closed::ByPeer),
        },
    }
}

impl Shared {
    fn opened(&self) -> usize {
        let mut connections = self.connections.lock().unwrap();
        connections.push(None);
        connections.len() - 1
    }

    /// Notes who closed a connection first.
    fn closed(&self, connection: usize, how: Closed) {
        self.connections.lock().unwrap()[connection].get_or_insert((Instant::now(), how));
    }

    /// Keeps a request, and gives its number and what becomes of it.
    fn came(&self, request: Received) -> (usize, Script) {
        let next = self.next.lock().unwrap().pop_front();
        let standing = self.standing.lock().unwrap().clone();
        let script = next.unwrap_or_else(|| standing(&request));
        let mut requests = self.requests.lock().unwrap();
        requests.push(request);
        (requests.len() - 1, script)
    }

    fn note(&self, number: usize, change: impl FnOnce(&mut Received)) {
        change(&mut self.requests.lock().unwrap()[number]);
    }

    fn open_stream(self: &Arc<Self>) -> OpenStream {
        let open = self.open_streams.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_streams.fetch_max(open, Ordering::SeqCst);
        OpenStream(self.clone())
    }
}

/// A request that is being answered.
struct OpenStream(Arc<Shared>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open_streams.fetch_sub(1, Ordering::SeqCst);
    }
}
