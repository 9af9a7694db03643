//! The socket of a plain connection to a server, below Pingora's stream. It sends the head of a request together with the body behind it, adds
//! headers that Pingora need not know, and once Pingora gives it back it is kept for the next request (`idle_sockets`).

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
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

use super::idle_sockets::{self, Server};
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
    kept: AtomicBool,
    holds: AtomicBool,
    /// Lines that are added to the head.
    lines: OnceLock<Vec<u8>>,
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
            kept: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            lines: OnceLock::new(),
        })
    }

    /// The descriptor of the socket; -1 before there is one.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.load(Relaxed)
    }

    /// Whether the socket was a kept one.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    /// Has the head of the request wait for what is written behind it. It leaves alone if nothing does before the turn of the worker's loop
    /// ends.
    pub fn hold(&self) {
        self.holds.store(true, Relaxed);
    }

    /// Adds headers to the head of the request before it is written, as lines with their ends.
    pub fn add_to_head(&self, lines: Vec<u8>) {
        // an attempt writes one head
        let _ = self.lines.set(lines);
    }

    fn holds(&self) -> bool {
        self.holds.load(Relaxed)
    }

    /// Whether it held until now.
    fn lets_go(&self) -> bool {
        self.holds.swap(false, Relaxed)
    }

    fn stream(&self, server: Server, tcp: TcpStream, kept: bool) -> Result<Stream> {
        let Some(connector) = self.own.upgrade() else {
            return Err(Error::explain(ErrorType::InternalError, "an attempt without a connector"));
        };
        self.descriptor.store(tcp.as_raw_fd(), Relaxed);
        self.kept.store(kept, Relaxed);
        let socket = Socket { stream: Some(WriteBuffer::new(tcp)), server, has_head: false, connector };
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
        let server = Server { upstream: self.upstream, address: *address };
        if !self.fresh
            && let Some(tcp) = idle_sockets::take(server)
        {
            return Box::pin(std::future::ready(self.stream(server, tcp, true)));
        }
        Box::pin(async move {
            let tcp = connect(address, None).await?;
            // Pingora asks a socket of its own for that at each use
            tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "failed to set_nodelay")?;
            self.stream(server, tcp, false)
        })
    }
}

/// A socket as long as an attempt has it.
struct Socket {
    /// None once Pingora has given it back.
    stream: Option<WriteBuffer<TcpStream>>,
    server: Server,
    /// Whether the head of the request has been written.
    has_head: bool,
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
            idle_sockets::put(self.server, stream.into_inner(), self.connector.idle_timeout);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
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
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        if stream.unsent() > 0 && !(self.connector.holds() && waits(&self.connector, cx)) {
            // a server that takes no more may nevertheless answer
            if let Poll::Ready(Err(error)) = self.poll_sent(cx) {
                return Poll::Ready(Err(error));
            }
        }
        match &mut self.stream {
            Some(stream) => Pin::new(stream.get_mut()).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
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
            stream.add(&[head, this.connector.lines.get().map_or(&[], Vec::as_slice), END]);
            return Poll::Ready(Ok(buf.len()));
        }
        this.connector.lets_go();
        Pin::new(stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connector.holds() { Poll::Ready(Ok(())) } else { self.poll_sent(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        if connector.lets_go() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\n\r\n";

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        (listener, address)
    }

    /// What the server reads first.
    async fn first(mut server: TcpStream) -> String {
        let mut buf = [0; 1024];
        let read = server.read(&mut buf).await.unwrap();
        String::from_utf8(buf[..read].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_head_waits_for_its_body_and_leaves_without_one_when_the_turn_ends() {
        tokio::spawn(turn::end_turns());
        let (listener, address) = listener().await;
        for body in [&b"body"[..], b""] {
            let connector = Connector::new(1, LONG, true);
            let mut stream = connector.connect(&address).await.unwrap();
            connector.hold();
            stream.write_all(HEAD).await.unwrap();
            stream.flush().await.unwrap();
            stream.write_all(body).await.unwrap();
            // as Pingora waits for the response
            let response = tokio::spawn(async move { stream.read(&mut [0; 1024]).await });
            let server = listener.accept().await.unwrap().0;
            assert_eq!(first(server).await.as_bytes(), [HEAD, body].concat());
            assert_eq!(response.await.unwrap().unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn lines_are_added_to_the_head_alone() {
        let (listener, address) = listener().await;
        let connector = Connector::new(1, LONG, true);
        let mut stream = connector.connect(&address).await.unwrap();
        connector.add_to_head(b"x: y\r\n".to_vec());
        stream.write_all(HEAD).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(b"\r\n\r\n").await.unwrap();
        drop(stream);
        let mut all = String::new();
        listener.accept().await.unwrap().0.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "POST / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n\r\n\r\n");
    }

    #[tokio::test]
    async fn a_socket_is_kept_when_pingora_gives_it_back_and_the_server_was_silent() {
        tokio::spawn(idle_sockets::keep(10));
        tokio::task::yield_now().await;
        let (listener, address) = listener().await;
        let (mut servers, mut given_back) = (Vec::new(), None);
        let first = (false, false, false);
        for (fresh, speaks, is_kept) in [first, (false, false, true), (true, true, false), (false, false, true)] {
            let connector = Connector::new(2, LONG, fresh);
            let mut stream = connector.connect(&address).await.unwrap();
            assert_eq!(connector.is_kept(), is_kept);
            if is_kept {
                assert_eq!(given_back, Some(connector.descriptor()));
            } else {
                servers.push(listener.accept().await.unwrap().0);
            }
            stream.write_all(HEAD).await.unwrap();
            stream.flush().await.unwrap();
            if speaks {
                servers.last_mut().unwrap().write_all(b"ok?").await.unwrap();
                assert_eq!(stream.read(&mut [0; 2]).await.unwrap(), 2);
            } else {
                given_back = Some(connector.descriptor());
            }
            assert_eq!(stream.read(&mut [0]).await.unwrap(), usize::from(speaks));
        }
    }
}
