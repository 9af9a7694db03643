//! A client's connection as Pingora sees it: TCP or TLS, with a small write buffer. Of HTTP it knows what is refused below Pingora, or by it:
//! the preface of HTTP/2 and the heads of its frames; on HTTP/1.1 where a head begins and ends, and its first line.

mod cipher_name;
mod digests;

use std::fmt;
use std::future::pending;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{ALPN, Peek, Shutdown, Stream};
use pingora_core::server::ShutdownWatch;
use plugin_api::{ConnectionInfo, TlsInfo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;

use crate::exchange::deadlines::ClientBytes;
use crate::exchange::failure::Failure;
use crate::exchange::h2_guard::{Breach, End, H2Guard};
use crate::exchange::incoming_head::IncomingHead;
use crate::exchange::incoming_line::{IncomingLine, Taken};
use crate::exchange::request_line::AsSent;
use crate::metrics::{Ended, count_h2_end};
use crate::tls::client_certificate;

use super::client_timeout::ClientTimeout;
use super::opening::{Opening, PREFACE};
use super::own_answer::own_answer;
use super::refusal::{Bounds, Refusal, RefusedConnection, RefusedHead};
use super::stall::Stall;
use super::timer::Timer;
use super::transport::{Transport, taken};
use super::websocket::Socket;

use cipher_name::cipher_name;
use digests::Digests;

pub use digests::{connection_facts, info_of};

/// Head and first piece of an answer leave in one packet if they fit. Pingora's own buffers (64 KiB to read, which its
/// parser does not need) make an idle connection three times as large.
const WRITE_BUFFER: usize = 4 * 1024;

/// A connection from a client.
pub struct Connection {
    stream: Transport,
    ssl: Option<Arc<SslDigest>>,
    alpn: Option<ALPN>,
    digests: Digests,
    client_timeout: ClientTimeout,
    stall: Stall,
    opening: Opening,
    heads: Heads,
    /// What the last request's line said that Pingora was not told.
    as_sent: Mutex<Option<AsSent>>,
    refusal: Option<oneshot::Sender<Refusal>>,
    /// What its bytes are once it has become a WebSocket.
    socket: OnceLock<Arc<Socket>>,
}

/// The state of what is coming in.
enum Heads {
    Http1(Box<Http1>),
    Http2(Box<H2Guard>),
}

struct Http1 {
    head: IncomingHead,
    line: IncomingLine,
}

/// Why what came is refused: for the gateway, for a client of HTTP/1.1, and for one of HTTP/2.
struct Refused {
    why: Failure,
    message: Option<&'static str>,
    code: u32,
}

impl From<Failure> for Refused {
    fn from(why: Failure) -> Self {
        Self { why, message: None, code: 0 }
    }
}

impl Connection {
    /// A plain connection. It is given up if its first bytes take longer than `client_timeout`.
    #[must_use]
    pub fn plain(stream: TcpStream, info: ConnectionInfo, client_timeout: ClientTimeout, bounds: Bounds) -> Self {
        let fd = stream.as_raw_fd();
        let digests = Digests::of(fd, info, SystemTime::now());
        let stream = Transport::Plain(BufWriter::with_capacity(WRITE_BUFFER, stream));
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
            connection.speaks_h2();
        }
        Ok(connection)
    }

    fn new(stream: Transport, digests: Digests, client_timeout: ClientTimeout, bounds: Bounds) -> Self {
        let heads =
            Heads::Http1(Box::new(Http1 { head: IncomingHead::new(bounds.max_header), line: IncomingLine::default() }));
        let (stall, opening, refusal) = (Stall::default(), Opening::default(), Some(bounds.refusal));
        Self {
            stream,
            ssl: None,
            alpn: None,
            digests,
            client_timeout,
            stall,
            opening,
            heads,
            as_sent: Mutex::default(),
            refusal,
            socket: OnceLock::new(),
        }
    }

    fn speaks_h2(&mut self) {
        if let Heads::Http1(http1) = &self.heads {
            self.heads = Heads::Http2(Box::new(H2Guard::new(http1.head.max(), Instant::now())));
        }
    }

    /// Hands the connection to the receiver of the refusal, which tells the client and then drops this one. Pingora waits meanwhile.
    fn refuse<T>(&mut self, refused: Refused) -> Poll<io::Result<T>> {
        let transport = std::mem::replace(&mut self.stream, Transport::Taken);
        let refusal = match &self.heads {
            Heads::Http1(http1) => {
                let (method, path) = http1.head.request();
                let info = self.digests.info();
                let Refused { why, message, .. } = refused;
                Refusal::Head(RefusedHead { transport, info, method, path, why, message })
            }
            Heads::Http2(guard) => {
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
        self.as_sent.lock().unwrap_or_else(PoisonError::into_inner).take()
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

    /// Bytes of these buffers have been written to the client, if any were.
    fn wrote(&mut self, written: &Poll<io::Result<usize>>, bufs: &[io::IoSlice<'_>]) {
        let (Heads::Http2(guard), Poll::Ready(Ok(written))) = (&mut self.heads, written) else { return };
        let mut written = *written;
        for buf in bufs {
            let some = written.min(buf.len());
            guard.wrote(&buf[..some], Instant::now, count);
            written -= some;
        }
    }

    /// Bytes have come from the client; `true` if Pingora gets them as they are.
    fn came(&mut self, bytes: &[u8]) -> Result<bool, Refused> {
        let sent = Timer::client_sent();
        let Http1 { head, line } = match &mut self.heads {
            Heads::Http1(http1) => &mut **http1,
            Heads::Http2(guard) => {
                let came = guard.came(bytes, Instant::now);
                return came.map(|()| true).map_err(|Breach { why, code }| Refused { why, message: None, code });
            }
        };
        head.came(bytes, sent)?;
        match sent {
            ClientBytes::Other => return Ok(true),
            ClientBytes::HeadBegins => line.begins(),
            ClientBytes::Head => {}
        }
        let taken =
            line.came(bytes).map_err(|fault| Refused { message: Some(fault), ..Failure::InvalidHead.into() })?;
        if let Some(as_sent) = line.take_as_sent() {
            *self.as_sent.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(as_sent);
        }
        Ok(taken == Taken::Pass)
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

fn count(end: End) {
    match end {
        End::Stream(code) => count_h2_end(Ended::Stream, code),
        End::Connection(code) => count_h2_end(Ended::Connection, code),
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(socket) = this.socket.get() {
            let read = socket.poll_read(&mut this.stream, cx, buf);
            if read.is_pending() {
                // an error shows at the next write
                let _ = this.stream.poll_flush(cx);
            }
            return read;
        }
        loop {
            let mut most = usize::MAX;
            if let Heads::Http1(http1) = &mut self.heads {
                let Http1 { head, line } = &mut **http1;
                let held = line.rest();
                if !held.is_empty() {
                    let count = held.len().min(buf.remaining());
                    buf.put_slice(&held[..count]);
                    line.gave(count);
                    return Poll::Ready(Ok(()));
                }
                if let Some(room) = head.room() {
                    // Pingora looks at a head after every read, and reads on only if it is not whole
                    if !Timer::awaits_rest_of_head() {
                        head.ended();
                    } else if room == 0 {
                        return self.refuse(Failure::HeadTooLarge.into());
                    } else {
                        most = room;
                    }
                }
            }
            let before = buf.filled().len();
            let read = self.poll_bytes(cx, buf, most);
            if buf.filled().len() > before {
                match self.came(&buf.filled()[before..]) {
                    Ok(true) => return read,
                    // all of them are held, and perhaps more is to come before Pingora gets any
                    Ok(false) => buf.set_filled(before),
                    Err(refused) => return self.refuse(refused),
                }
                continue;
            }
            if read.is_pending() {
                // while the connection waits, its buffered bytes must not. An error shows at the next write
                let _ = self.as_mut().poll_flush(cx);
            } else if let Heads::Http1(http1) = &mut self.heads
                && http1.line.is_awaited()
            {
                http1.line.ended();
                continue;
            } else if Timer::client_left() {
                // the timer or the end of the answer wakes the task
                let _ = self.as_mut().poll_flush(cx);
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
        if let Some(why) = own_answer(buf) {
            // Pingora refuses the request by itself, in words of its own: its client gets the gateway's
            return self.refuse(why.into());
        }
        let written = self.stream.poll_write(cx, buf);
        self.wrote(&written, &[io::IoSlice::new(buf)]);
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
        self.wrote(&written, bufs);
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

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("fd", &self.digests.fd).finish_non_exhaustive()
    }
}
