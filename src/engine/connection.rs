//! A client's connection: TCP or TLS, with a small write buffer. Pingora reads and writes it through `stream`; what comes in is looked at in
//! `incoming`.

mod cipher_name;
mod digests;
mod incoming;
mod outliving;
mod permits;
mod stream;

use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use plugin_api::{ConnectionInfo, TlsInfo};
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;

use crate::exchange::request_line::AsSent;
use crate::tls::client_certificate;

use super::client_timeout::ClientTimeout;
use super::opening::Opening;
use super::refusal::{Bounds, Refusal, RefusedConnection, RefusedHead};
use super::stall::Stall;
use super::timer::Timer;
use super::transport::{Transport, taken};
use super::websocket::Socket;
use super::write_buffer::WriteBuffer;

use cipher_name::cipher_name;
use incoming::{Incoming, Refused};

pub use digests::{Digests, connection_facts};
pub use outliving::Outliving;
pub use permits::Permits;

/// A connection from a client.
// in this order, so that the fields which each event of a stream uses share cache lines: with thousands of streams most of them are cold
#[repr(C)]
pub struct Connection {
    stream: Transport,
    stall: Stall,
    /// What its bytes are once it has become a WebSocket.
    socket: OnceLock<Arc<Socket>>,
    /// Its call, if that goes on without its client.
    outliving: Mutex<Option<Box<Outliving>>>,
    /// Whether bytes of the client may pass as they are, however many.
    reads_freely: bool,
    opening: Opening,
    incoming: Incoming,
    /// How many bytes Pingora was given, and how many of them belong to requests that are over.
    given: u64,
    taken: AtomicU64,
    alpn: Option<ALPN>,
    ssl: Option<Arc<SslDigest>>,
    digests: Digests,
    client_timeout: ClientTimeout,
    refusal: Option<oneshot::Sender<Box<Refusal>>>,
    permits: Arc<Permits>,
}

impl Connection {
    /// A plain connection. It is given up if its first bytes take longer than `client_timeout`.
    #[must_use]
    pub fn plain(stream: TcpStream, info: ConnectionInfo, client_timeout: ClientTimeout, bounds: Bounds) -> Self {
        let fd = stream.as_raw_fd();
        let digests = Digests::of(fd, info, SystemTime::now());
        let stream = Transport::Plain(WriteBuffer::new(stream));
        Self::new(stream, digests, client_timeout, bounds)
    }

    /// A TLS connection, after its handshake.
    ///
    /// # Errors
    /// The handshake failed, or took longer than `client_timeout`.
    pub async fn tls(
        stream: TcpStream,
        mut info: ConnectionInfo,
        acceptor: &TlsAcceptor,
        mut client_timeout: ClientTimeout,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let fd = stream.as_raw_fd();
        let accepted = SystemTime::now();
        let stream = client_timeout.with(acceptor.accept(stream)).await?;
        let (_, session) = stream.get_ref();
        let alpn = session.alpn_protocol().map(|name| if name == b"h2" { ALPN::H2 } else { ALPN::H1 });
        let tls = TlsInfo {
            protocol: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: session.negotiated_cipher_suite().and_then(|suite| cipher_name(suite.suite())),
            server_name: session.server_name().map(Box::from),
            client: session.peer_certificates().and_then(|chain| client_certificate(chain.first()?)),
        };
        let ssl = SslDigest::new("", tls.protocol, None, None, Vec::new());
        info.tls = Some(tls);
        let digests = Digests::of(fd, info, accepted);
        let mut connection = Self::new(Transport::Tls(Box::new(stream)), digests, client_timeout, bounds);
        (connection.ssl, connection.alpn) = (Some(Arc::new(ssl)), alpn);
        if connection.is_h2() {
            connection.incoming.speaks_h2();
        }
        Ok(connection)
    }

    fn new(stream: Transport, digests: Digests, client_timeout: ClientTimeout, bounds: Bounds) -> Self {
        let incoming = Incoming::new(bounds.max_header);
        let (stall, opening, refusal) = (Stall::default(), Opening::default(), Some(bounds.refusal));
        Self {
            stream,
            stall,
            socket: OnceLock::new(),
            outliving: Mutex::new(None),
            reads_freely: false,
            opening,
            incoming,
            given: 0,
            taken: AtomicU64::new(0),
            alpn: None,
            ssl: None,
            digests,
            client_timeout,
            refusal,
            permits: bounds.permits,
        }
    }

    /// Hands the connection to the receiver of the refusal, which tells the client and then drops this one. Pingora waits meanwhile.
    fn refuse<T>(&mut self, refused: Refused) -> Poll<io::Result<T>> {
        let transport = std::mem::replace(&mut self.stream, Transport::Taken);
        let refusal = match &self.incoming {
            Incoming::Http1(_) => {
                let (method, path) = self.incoming.request();
                let info = self.digests.info();
                let Refused { why, message, .. } = refused;
                Refusal::Head(RefusedHead { transport, info, method, path, why, message })
            }
            Incoming::Http2(guard) => {
                // a frame that is only written in part can have no other behind it
                let last_stream = guard.is_between_frames().then(|| guard.last_stream());
                Refusal::Connection(RefusedConnection { transport, last_stream, why: refused.why, code: refused.code })
            }
        };
        let is_received = self.refusal.take().is_some_and(|receiver| receiver.send(Box::new(refusal)).is_ok());
        Timer::mark_refused();
        if is_received { Poll::Pending } else { taken() }
    }

    /// What the line of the request that has just been read said and Pingora was not told.
    pub fn take_as_sent(&self) -> Option<AsSent> {
        self.incoming.take_as_sent()
    }

    /// Reads what is held of a rewritten line, the bytes that were looked at first, or bytes of the client, up to `most`.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, most: usize) -> Poll<io::Result<()>> {
        if self.opening.hands_out(buf) {
            // together with what has come behind them; an error or the end shows at the next read
            let _ = self.stream.poll_read(cx, buf, most);
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_read(cx, buf, most)
    }

    /// Waits until the client behind Pingora's view of a connection has closed its side, or the connection broke. Reads
    /// nothing.
    pub fn client_closed(stream: &Stream) -> BoxFuture<'_, ()> {
        match Self::of(stream) {
            Some(connection) => Box::pin(connection.closed()),
            None => Box::pin(pending()),
        }
    }

    async fn closed(&self) {
        let Some(socket) = self.stream.socket() else { return };
        // readable data, which may wait there all the while, does not wake this; an error is one way to be closed
        let _ = socket.ready(Interest::PRIORITY | Interest::ERROR).await;
    }

    /// A request is over that had so many bytes.
    pub fn took(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether bytes of the next request may be here already: in Pingora's hands, on their way there, or read from the socket by TLS. Bytes that
    /// were not counted, as those around chunks, are taken for such.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.taken.load(Ordering::Relaxed) != self.given
            || !self.opening.rest().is_empty()
            || self.incoming.holds()
            || !self.stream.is_drained()
    }

    /// Waits until bytes have come, the client has closed its side, or the connection broke. Reads nothing.
    pub async fn readable(&self) {
        let Some(socket) = self.stream.socket() else { return };
        // an error shows when it is read from
        let _ = poll_fn(|cx| socket.poll_read_ready(cx)).await;
    }

    /// The connection behind Pingora's view of it.
    #[must_use]
    pub fn of(stream: &Stream) -> Option<&Self> {
        (**stream).as_any().downcast_ref()
    }

    /// From now on its bytes are those of this WebSocket.
    pub fn upgrade(&self, socket: Arc<Socket>) {
        // a connection is upgraded once
        let _ = self.socket.set(socket);
    }

    /// Tells when the gateway stops.
    #[must_use]
    pub fn stopping(&self) -> ShutdownWatch {
        self.client_timeout.stopping.clone()
    }

    /// Writes what a WebSocket has to send of its own, which goes before all else.
    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.get() {
            Some(socket) => socket.poll_flush(&mut self.stream, cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Whether HTTP/2 was agreed on in its TLS handshake.
    #[must_use]
    pub fn is_h2(&self) -> bool {
        matches!(self.alpn, Some(ALPN::H2))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("fd", &self.digests.fd).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
