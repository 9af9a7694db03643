//! A client's connection as Pingora sees it: TCP or TLS, with a small write buffer. Of HTTP it knows the
//! HTTP/2 preface, where the head of a request begins and ends, and how to refuse a head that is too large.

use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID,
};
use pingora_core::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;

use super::h2_heads::{H2Heads, NoMemory};
use super::incoming_head::{IncomingHead, TooMuch};
use super::opening::{Opening, PREFACE};
use super::refused;
use super::stall::Stall;
use super::timer::Timer;
use super::transport::{Transport, taken};

/// Head and first piece of an answer leave in one packet if they fit. Pingora's own buffers (64 KiB to read, which its
/// parser does not need) make an idle connection three times as large.
const WRITE_BUFFER: usize = 4 * 1024;

/// A connection from a client.
pub struct Connection {
    stream: Transport,
    ssl: Option<Arc<SslDigest>>,
    alpn: Option<ALPN>,
    socket: Arc<SocketDigest>,
    accepted: SystemTime,
    client_timeout: ClientTimeout,
    stall: Stall,
    opening: Opening,
    heads: Heads,
    fd: RawFd,
    refusal: Option<oneshot::Sender<Refused>>,
}

/// What is known of the heads of its requests.
enum Heads {
    Http1(Box<IncomingHead>),
    Http2(Box<H2Heads>),
}

/// What bounds the heads of a connection's requests.
pub struct HeadBounds {
    /// The largest, in bytes.
    pub max: usize,
    /// Where the connection goes that has a larger one.
    pub refusal: oneshot::Sender<Refused>,
}

/// A connection that was taken from Pingora, to be answered that its head is refused.
pub struct Refused {
    transport: Transport,
    path: String,
    why: TooMuch,
}

impl Refused {
    /// Why it is refused.
    pub fn why(&self) -> TooMuch {
        self.why
    }

    /// Answers the client, and closes the connection so that it can read the answer.
    pub async fn answer(self, max: usize) {
        match self.transport {
            Transport::Plain(stream) => refused::answer(stream, &self.path, self.why, max).await,
            Transport::Tls(stream) => refused::answer(stream, &self.path, self.why, max).await,
            Transport::Taken => {}
        }
    }
}

/// How long a client may take to say what it wants.
#[derive(Clone)]
pub struct ClientTimeout {
    /// How long its TLS handshake may take, and its first bytes.
    pub limit: Duration,
    /// Tells that the gateway stops, and waits no more.
    pub stopping: ShutdownWatch,
}

impl ClientTimeout {
    async fn with<T>(&mut self, client: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::select! {
            biased; // what has come already is served
            done = client => done,
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(io::Error::other("the gateway stops")),
            () = tokio::time::sleep(self.limit) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// What Pingora answers alone, to what is no HTTP, without the line that names it; `None` for every other answer.
fn without_signature(buf: &[u8]) -> Option<Vec<u8>> {
    const STATUS_LINE: &[u8] = b"HTTP/1.1 4";
    const SIGNATURE: &[u8] = b"Server: Pingora\r\n";
    const EMPTY: &[u8] = b"Content-Length: 0\r\nCache-Control: private, no-store\r\n";
    if !buf.starts_with(STATUS_LINE) {
        return None;
    }
    let at = buf.iter().position(|byte| *byte == b'\n')? + 1;
    let rest = buf[at..].strip_prefix(SIGNATURE)?;
    let empty = rest.windows(EMPTY.len()).any(|window| window == EMPTY);
    empty.then(|| [&buf[..at], rest].concat())
}

impl Connection {
    /// A plain connection. One whose first bytes take longer than `client_timeout` has is given up.
    #[must_use]
    pub fn plain(stream: TcpStream, peer: SocketAddr, client_timeout: ClientTimeout, bounds: HeadBounds) -> Self {
        let fd = stream.as_raw_fd();
        let socket = socket_digest(&stream, peer);
        let stream = Transport::Plain(BufWriter::with_capacity(WRITE_BUFFER, stream));
        Self::new(stream, fd, socket, SystemTime::now(), client_timeout, bounds)
    }

    /// A TLS connection, after its handshake.
    ///
    /// # Errors
    /// What went wrong in the handshake, or that it took longer than `client_timeout` has.
    pub async fn tls(
        stream: TcpStream,
        peer: SocketAddr,
        acceptor: &TlsAcceptor,
        mut client_timeout: ClientTimeout,
        bounds: HeadBounds,
    ) -> io::Result<Self> {
        let fd = stream.as_raw_fd();
        let socket = socket_digest(&stream, peer);
        let accepted = SystemTime::now();
        let stream = client_timeout.with(acceptor.accept(stream)).await?;
        let (_, session) = stream.get_ref();
        let alpn = session.alpn_protocol().map(|name| if name == b"h2" { ALPN::H2 } else { ALPN::H1 });
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let ssl = SslDigest::new("", version, None, None, Vec::new());
        let stream = Transport::Tls(Box::new(stream));
        let mut connection = Self::new(stream, fd, socket, accepted, client_timeout, bounds);
        (connection.ssl, connection.alpn) = (Some(Arc::new(ssl)), alpn);
        if connection.is_h2() {
            connection.speaks_h2();
        }
        Ok(connection)
    }

    fn new(
        stream: Transport,
        fd: RawFd,
        socket: Arc<SocketDigest>,
        accepted: SystemTime,
        client_timeout: ClientTimeout,
        bounds: HeadBounds,
    ) -> Self {
        let heads = Heads::Http1(Box::new(IncomingHead::new(bounds.max)));
        let (stall, opening, refusal) = (Stall::default(), Opening::default(), Some(bounds.refusal));
        Self { stream, ssl: None, alpn: None, socket, accepted, client_timeout, stall, opening, heads, fd, refusal }
    }

    fn speaks_h2(&mut self) {
        if let Heads::Http1(head) = &self.heads {
            self.heads = Heads::Http2(Box::new(H2Heads::new(head.max())));
        }
    }

    /// Leaves Pingora waiting: whoever holds the other end answers the client, and drops what is left of this.
    fn refuse(&mut self, why: TooMuch) -> Poll<io::Result<()>> {
        let Heads::Http1(head) = &self.heads else { return taken() };
        let refused =
            Refused { transport: std::mem::replace(&mut self.stream, Transport::Taken), path: head.path(), why };
        match self.refusal.take().map(|refusal| refusal.send(refused)) {
            Some(Ok(())) => Poll::Pending,
            _ => taken(),
        }
    }

    /// Waits until the client behind Pingora's view of a connection has closed its side, or the connection broke. Reads
    /// nothing.
    pub fn client_closed(stream: &Stream) -> BoxFuture<'_, ()> {
        match (**stream).as_any().downcast_ref::<Self>() {
            Some(connection) => Box::pin(connection.closed()),
            None => Box::pin(pending()),
        }
    }

    async fn closed(&self) {
        let Some(socket) = self.stream.socket() else { return };
        // readable data, which may wait there all the while, does not wake this; an error is one way to be closed
        let _ = socket.ready(Interest::PRIORITY | Interest::ERROR).await;
    }

    /// Whether HTTP/2 was agreed on in its TLS handshake.
    #[must_use]
    pub fn is_h2(&self) -> bool {
        matches!(self.alpn, Some(ALPN::H2))
    }
}

fn socket_digest(stream: &TcpStream, peer: SocketAddr) -> Arc<SocketDigest> {
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    // known from accept(): saves a system call per connection
    let _ = digest.peer_addr.set(Some(peer.into()));
    Arc::new(digest)
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut most = usize::MAX;
        if let Heads::Http1(head) = &mut self.heads
            && let Some(room) = head.room()
        {
            // Pingora looks at a head after every read, and reads on only if it is not whole
            if !Timer::awaits_rest_of_head() {
                head.ended();
            } else if room == 0 {
                return self.refuse(TooMuch::Large);
            } else {
                most = room;
            }
        }
        let before = buf.filled().len();
        let read = if self.opening.hands_out(buf) { Poll::Ready(Ok(())) } else { self.stream.poll_read(cx, buf, most) };
        if buf.filled().len() > before {
            let sent = Timer::client_sent();
            let bytes = &buf.filled()[before..];
            let came = match &mut self.heads {
                Heads::Http1(head) => head.came(bytes, sent),
                Heads::Http2(heads) => heads.came(bytes).map_err(|NoMemory| TooMuch::Memory),
            };
            if let Err(why) = came {
                return self.refuse(why);
            }
        } else if read.is_pending() {
            // nothing to do but wait: what the buffer holds must not wait too. An error shows at the next write
            let _ = self.as_mut().poll_flush(cx);
        } else if Timer::client_left() {
            // the timer wakes whoever waits for it, or the answer's end does
            let _ = self.as_mut().poll_flush(cx);
            return Poll::Pending;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = match without_signature(buf) {
            // the first that this connection writes, and smaller than any buffer: it goes as a whole
            Some(unsigned) => self.stream.poll_write(cx, &unsigned).map_ok(|_| buf.len()),
            None => self.stream.poll_write(cx, buf),
        };
        self.stall.bound(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream.poll_write_vectored(cx, bufs);
        self.stall.bound(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        // else a chunk's size, its data and its end would be written one by one
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.poll_flush(cx);
        self.stall.bound(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.stream.poll_shutdown(cx);
        self.stall.bound(cx, shut)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // the client may be gone already
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

#[async_trait]
impl Peek for Connection {
    /// Waits until an HTTP/2 preface has come, or bytes that begin none. They are read again from here.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        let Transport::Plain(stream) = &mut self.stream else { return Ok(false) };
        self.client_timeout.with(self.opening.read(stream.get_mut())).await?;
        let opening = self.opening.rest();
        let length = opening.len().min(buf.len());
        buf[..length].copy_from_slice(&opening[..length]);
        if opening == PREFACE {
            self.speaks_h2();
            if let Some(timer) = Timer::current() {
                timer.over(); // its streams have their own
            }
        }
        Ok(true)
    }
}

impl UniqueID for Connection {
    fn id(&self) -> RawFd {
        self.fd
    }
}

impl Ssl for Connection {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.alpn.clone()
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<pingora_core::protocols::raw_connect::ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("fd", &self.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_pingora_says_alone_loses_its_signature() {
        let signed = "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nDate: x\r\nContent-Length: 0\r\n\
                      Cache-Control: private, no-store\r\nConnection: close\r\n\r\n";
        let unsigned = without_signature(signed.as_bytes()).unwrap();
        assert_eq!(unsigned, signed.replace("Server: Pingora\r\n", "").into_bytes());
        for passed in
            ["HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\n"]
        {
            assert_eq!(without_signature(passed.as_bytes()), None);
        }
    }
}
