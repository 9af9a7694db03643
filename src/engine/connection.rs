//! A client's connection as Pingora sees it: TCP or TLS, with a small write buffer. What comes in over it is
//! looked at in `incoming`.

mod cipher_name;
mod digests;
mod incoming;

use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{ALPN, Peek, Shutdown, Stream};
use pingora_core::server::ShutdownWatch;
use plugin_api::{ConnectionInfo, TlsInfo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;

use crate::exchange::failure::Failure;
use crate::exchange::request_line::AsSent;
use crate::tls::client_certificate;

use super::client_timeout::ClientTimeout;
use super::opening::{Opening, PREFACE};
use super::own_answer::is_own_answer;
use super::refusal::{Bounds, Refusal, RefusedConnection, RefusedHead};
use super::stall::Stall;
use super::timer::Timer;
use super::transport::{Transport, taken};
use super::websocket::Socket;
use super::write_buffer::WriteBuffer;

use cipher_name::cipher_name;
use digests::Digests;
use incoming::{BeforeRead, Incoming, Refused};

pub use digests::connection_facts;

/// A connection from a client.
pub struct Connection {
    stream: Transport,
    ssl: Option<Arc<SslDigest>>,
    alpn: Option<ALPN>,
    digests: Digests,
    client_timeout: ClientTimeout,
    stall: Stall,
    opening: Opening,
    incoming: Incoming,
    refusal: Option<oneshot::Sender<Refusal>>,
    /// How many bytes Pingora was given, and how many of them belong to requests that are over.
    given: u64,
    taken: AtomicU64,
    /// What its bytes are once it has become a WebSocket.
    socket: OnceLock<Arc<Socket>>,
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
            ssl: None,
            alpn: None,
            digests,
            client_timeout,
            stall,
            opening,
            incoming,
            refusal,
            given: 0,
            taken: AtomicU64::new(0),
            socket: OnceLock::new(),
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
        let is_received = self.refusal.take().is_some_and(|receiver| receiver.send(refusal).is_ok());
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

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(socket) = this.socket.get() {
            let read = socket.poll_read(&mut this.stream, cx, buf);
            if read.is_pending() {
                // an error shows at the next write
                let _ = this.stream.poll_flush(cx);
            }
            return read;
        }
        loop {
            let most = match this.incoming.before_read() {
                BeforeRead::Give => {
                    let room = buf.remaining();
                    let before = buf.filled().len();
                    this.incoming.give(room, |held| buf.put_slice(held));
                    this.given += (buf.filled().len() - before) as u64;
                    return Poll::Ready(Ok(()));
                }
                BeforeRead::Read(most) => most,
                BeforeRead::Refuse => return this.refuse(Failure::HeadTooLarge.into()),
            };
            let before = buf.filled().len();
            let read = this.poll_bytes(cx, buf, most);
            if buf.filled().len() > before {
                match this.incoming.came(&buf.filled()[before..]) {
                    Ok(true) => {
                        this.given += (buf.filled().len() - before) as u64;
                        return read;
                    }
                    // all of them are held, and perhaps more is to come before Pingora gets any
                    Ok(false) => buf.set_filled(before),
                    Err(refused) => return this.refuse(refused),
                }
                continue;
            }
            if read.is_pending() {
                // while the connection waits, its buffered bytes must not. An error shows at the next write
                let _ = Pin::new(&mut *this).poll_flush(cx);
            } else if this.incoming.ended() {
                continue;
            } else if Timer::client_left() {
                // the timer or the end of the answer wakes the task
                let _ = Pin::new(&mut *this).poll_flush(cx);
                return Poll::Pending;
            }
            return read;
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let own @ (Poll::Pending | Poll::Ready(Err(_))) = self.poll_socket(cx) {
            return self.stall.bound(cx, own.map_ok(|()| 0));
        }
        if is_own_answer(buf) && Timer::awaits_head() {
            // Pingora refuses the request by itself, in words of its own: its client gets the gateway's
            return self.refuse(Failure::InvalidHead.into());
        }
        let written = self.stream.poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = written {
            self.incoming.wrote(written, &[io::IoSlice::new(buf)]);
        }
        self.stall.bound(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let own @ (Poll::Pending | Poll::Ready(Err(_))) = self.poll_socket(cx) {
            return self.stall.bound(cx, own.map_ok(|()| 0));
        }
        let written = self.stream.poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(written)) = written {
            self.incoming.wrote(written, bufs);
        }
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
            self.incoming.speaks_h2();
            if let Some(timer) = Timer::current() {
                timer.over(); // its streams have their own
            }
        }
        Ok(true)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("fd", &self.digests.fd).finish_non_exhaustive()
    }
}
