//! The socket of a plain connection to a server, below Pingora's stream. It sends the head of a request together with the body behind it, adds
//! headers that Pingora need not know, and once Pingora gives it back it is kept for the next request (`idle_sockets`).

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::ext::connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_error::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::idle_sockets::{self, KeptSocket, PoolKey};
use super::tcp_ack;
use super::turn;
use super::write_buffer::WriteBuffer;

/// The end of a line; an empty one ends a head.
const END: &[u8] = b"\r\n";

thread_local! {
    /// Requests whose heads wait for their bodies, and the tasks that wait for their responses.
    static HELD: RefCell<Vec<(Arc<Connector>, Waker)>> = const { RefCell::new(Vec::new()) };
}

/// Opens the socket of one attempt, or takes one that was kept, and says what became of that.
#[derive(Debug)]
pub struct Connector {
    own: Weak<Self>,
    upstream: u64,
    idle_timeout: Duration,
    /// Whether no kept socket is to be taken.
    fresh: bool,
    descriptor: AtomicI32,
    closed_unread: AtomicBool,
    holds: AtomicBool,
    /// Lines that are added to the head.
    lines: Mutex<Vec<u8>>,
}

impl Connector {
    /// A connector to the servers of an upstream, which its number names. Its socket may wait for the next request for so long; with
    /// `fresh`, it is a new one.
    pub fn new(upstream: u64, idle_timeout: Duration, fresh: bool) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            upstream,
            idle_timeout,
            fresh,
            descriptor: AtomicI32::new(-1),
            closed_unread: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            lines: Mutex::default(),
        })
    }

    /// The descriptor of the socket; -1 before there is one.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.load(Relaxed)
    }

    /// Whether the socket was a kept one that its server closed before any of the request arrived.
    pub fn is_closed_unread(&self) -> bool {
        self.closed_unread.load(Relaxed)
    }

    /// Has the head of the request wait for what is written behind it. It leaves alone if nothing does before the turn of the worker's loop
    /// ends.
    pub fn hold(&self) {
        self.holds.store(true, Relaxed);
    }

    /// Adds headers to the head of the request before it is written, as lines with their ends.
    pub fn add_to_head(&self, lines: Vec<u8>) {
        *self.lock_lines() = lines;
    }

    fn lock_lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_holding(&self) -> bool {
        self.holds.load(Relaxed)
    }

    /// Whether it held until now.
    fn release(&self) -> bool {
        self.holds.swap(false, Relaxed)
    }

    /// The stream of a new socket, or of a kept one, to which earlier requests have written so many bytes.
    fn stream(&self, server: PoolKey, tcp: TcpStream, earlier: Option<u64>) -> Result<Stream> {
        let Some(connector) = self.own.upgrade() else {
            return Err(Error::explain(ErrorType::InternalError, "an attempt without a connector"));
        };
        self.descriptor.store(tcp.as_raw_fd(), Relaxed);
        let stream = Some(WriteBuffer::new(tcp));
        let socket = Socket { stream, server, has_head: false, earlier, written: 0, has_failed: false, connector };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(socket))))
    }
}

impl Connect for Connector {
    fn connect<'connector, 'address, 'connected>(
        &'connector self,
        address: &'address SocketAddr,
    ) -> BoxFuture<'connected, Result<Stream>>
    where
        'connector: 'connected,
        'address: 'connected,
    {
        let SocketAddr::Inet(address) = address else {
            let error = Error::explain(ErrorType::InternalError, "not an address of the internet");
            return Box::pin(std::future::ready(Err(error)));
        };
        let server = PoolKey { upstream: self.upstream, address: *address };
        if !self.fresh
            && let Some(KeptSocket { tcp, written }) = idle_sockets::take(server)
        {
            return Box::pin(std::future::ready(self.stream(server, tcp, Some(written))));
        }
        Box::pin(async move {
            let tcp = connect(address, None).await?;
            // Pingora asks a socket of its own for that at each use
            tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "failed to set_nodelay")?;
            self.stream(server, tcp, None)
        })
    }
}

/// A socket as long as an attempt has it.
struct Socket {
    /// None once Pingora has given it back.
    stream: Option<WriteBuffer<TcpStream>>,
    server: PoolKey,
    /// Whether the head of the request has been written.
    has_head: bool,
    /// The bytes that earlier requests have written, if there were any.
    earlier: Option<u64>,
    /// The bytes of this request that were written or wait.
    written: u64,
    /// Whether it has failed otherwise than by its server's closing it in order.
    has_failed: bool,
    connector: Arc<Connector>,
}

impl Socket {
    /// Pingora asks whether the server has sent bytes behind its response, or has closed the connection. If neither, the socket is kept here:
    /// Pingora is told that it has reached its end, and lets go of it.
    fn poll_give_back(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        let read = Pin::new(stream.get_mut()).poll_read(cx, buf);
        if read.is_pending()
            && let Some(stream) = self.stream.take().filter(|stream| stream.unsent() == 0)
        {
            let written = self.earlier.unwrap_or(0) + self.written;
            let socket = KeptSocket { tcp: stream.into_inner(), written };
            idle_sockets::put(self.server, socket, self.connector.idle_timeout);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        let sent = Pin::new(stream).poll_flush(cx);
        if let Poll::Ready(Err(error)) = &sent {
            self.on_error(error);
        }
        sent
    }

    /// A write or a read has failed. Linux reports a RST that follows a FIN as `EPIPE`, and any other as `ECONNRESET`.
    fn on_error(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.on_end();
        } else {
            self.has_failed = true;
        }
    }

    /// The server has closed the socket; or the timer has, and then the deadline that passed is what counts.
    fn on_end(&mut self) {
        if let (Some(earlier), Some(stream), false) = (self.earlier, &self.stream, self.has_failed) {
            let is_unread = tcp_ack::acknowledged(stream.get_ref()) == Some(earlier + 1);
            self.connector.closed_unread.store(is_unread, Relaxed);
        }
    }
}

impl VirtualSocket for Socket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            // it was set when the socket was opened
            VirtualSockOpt::NoDelay => Ok(()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // heads and bodies are read into thousands of bytes; one is read only to learn whether the connection can be used again
        if buf.capacity() == 1 {
            return self.poll_give_back(cx, buf);
        }
        let Some(stream) = &self.stream else { return Poll::Ready(Ok(())) };
        if stream.unsent() > 0 && !(self.connector.is_holding() && waits(&self.connector, cx)) {
            // a server that has closed the connection may have answered: what has come of it, or its end, is yet to be read
            let _ = self.poll_sent(cx);
        }
        let before = buf.filled().len();
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        let read = Pin::new(stream.get_mut()).poll_read(cx, buf);
        match &read {
            Poll::Ready(Err(error)) => self.on_error(error),
            Poll::Ready(Ok(())) if buf.filled().len() == before => self.on_end(),
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Socket {
    /// Takes the head of the request, which is written as a whole before all else, and has it wait. Small pieces that follow wait until Pingora
    /// flushes them or reads: it writes a chunk as three of them.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        if !this.has_head {
            this.has_head = true;
            let Some(head) = buf.strip_suffix(END).filter(|head| head.ends_with(END)) else {
                return Poll::Ready(Err(io::Error::other("what is written first is no head of a request")));
            };
            // an attempt writes one head, and its stream may be open for long
            let lines = std::mem::take(&mut *this.connector.lock_lines());
            stream.add(&[head, &lines, END]);
            this.written += (buf.len() + lines.len()) as u64;
            return Poll::Ready(Ok(buf.len()));
        }
        this.connector.release();
        let written = Pin::new(stream).poll_write(cx, buf);
        match &written {
            Poll::Ready(Ok(count)) => this.written += *count as u64,
            Poll::Ready(Err(error)) => this.on_error(error),
            Poll::Pending => {}
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connector.is_holding() { Poll::Ready(Ok(())) } else { self.poll_sent(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Has this task go on when the turn ends, so that it sends the head that it holds. `false` on a thread that ends no turns.
fn waits(connector: &Arc<Connector>, cx: &Context<'_>) -> bool {
    let waits = turn::end_is_awaited();
    if waits {
        HELD.with_borrow_mut(|held| held.push((connector.clone(), cx.waker().clone())));
    }
    waits
}

/// Ends the turn of the loop: heads that still wait for their bodies leave.
pub fn end_turn() {
    for (connector, waker) in HELD.take() {
        if connector.release() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
