//! The TCP socket below a TLS connection to a server. Pingora pools these connections, and closes a broken one before it reports the error. So
//! this file reads what the server has acknowledged at the moment of closing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};

use ahash::RandomState;
use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::ext::connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::{Tracer, Tracing};
use pingora_error::{Error, ErrorType, Result};

use super::tcp_ack;

thread_local! {
    /// The open sockets of this thread by their descriptors.
    static OPEN: RefCell<HashMap<RawFd, Weak<OwnedFd>, RandomState>> = RefCell::default();
    /// The socket of this thread that was closed last, and what its server had acknowledged.
    static CLOSED: Cell<Option<(RawFd, u64)>> = const { Cell::new(None) };
}

/// What the server has acknowledged on an open socket.
pub fn acknowledged(descriptor: RawFd) -> Option<u64> {
    OPEN.with_borrow(|open| tcp_ack::acknowledged(&open.get(&descriptor)?.upgrade()?))
}

/// What the server had acknowledged when the socket was closed, if this thread has closed no other since. The answer is given once.
pub fn acknowledged_at_close(descriptor: RawFd) -> Option<u64> {
    let (closed, acknowledged) = CLOSED.take()?;
    (closed == descriptor).then_some(acknowledged)
}

/// Opens sockets as Pingora does, and traces when they are closed.
#[derive(Debug)]
pub struct TracedConnector;

#[async_trait]
impl Connect for TracedConnector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let SocketAddr::Inet(address) = address else {
            return Error::e_explain(ErrorType::InternalError, "not an address of the internet");
        };
        let tcp = connect(address, None).await?;
        // without a descriptor to spare, the connection serves as well
        let duplicate = tcp.as_fd().try_clone_to_owned();
        let descriptor = tcp.as_raw_fd();
        let mut stream = Stream::from(tcp);
        if let Ok(duplicate) = duplicate.map(Arc::new) {
            OPEN.with_borrow_mut(|open| open.insert(descriptor, Arc::downgrade(&duplicate)));
            stream.tracer = Some(Tracer(Box::new(CloseTracer { descriptor, duplicate })));
        }
        Ok(stream)
    }
}

/// Pingora calls it just before it closes the socket, and drops it then.
#[derive(Clone, Debug)]
struct CloseTracer {
    /// The number of Pingora's own descriptor, which alone cannot be used safely.
    descriptor: RawFd,
    duplicate: Arc<OwnedFd>,
}

impl Tracing for CloseTracer {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {
        let acknowledged = tcp_ack::acknowledged(&self.duplicate).map(|bytes| (self.descriptor, bytes));
        // both are gone when the thread ends
        let _ = OPEN.try_with(|open| open.borrow_mut().remove(&self.descriptor));
        let _ = CLOSED.try_with(|closed| closed.set(acknowledged));
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_acknowledged_is_known_of_the_socket_that_was_closed_last() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        for arrives in [true, false] {
            let mut stream = TracedConnector.connect(&address).await.unwrap();
            let mut server = listener.accept().await.unwrap().0;
            let descriptor = stream.as_raw_fd();
            stream.write_all(b"earlier").await.unwrap();
            stream.flush().await.unwrap();
            server.read_exact(&mut [0; 7]).await.unwrap();
            if arrives {
                stream.write_all(b"request").await.unwrap();
                stream.flush().await.unwrap();
                server.read_exact(&mut [0; 7]).await.unwrap();
            }
            drop(server);
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            if !arrives {
                stream.write_all(b"request").await.unwrap();
                stream.flush().await.unwrap();
            }
            let known = Some(if arrives { 15 } else { 8 });
            assert_eq!(acknowledged(descriptor), known);
            drop(stream);
            assert_eq!(acknowledged(descriptor), None, "it is closed");
            assert_eq!(acknowledged_at_close(descriptor), known);
            assert_eq!(acknowledged_at_close(descriptor), None, "it was told");
        }
    }

    #[tokio::test]
    async fn another_socket_is_not_taken_for_it_and_no_duplicate_keeps_a_connection_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        let mut stream = TracedConnector.connect(&address).await.unwrap();
        let mut server = listener.accept().await.unwrap().0;
        stream.write_all(b"request").await.unwrap();
        stream.flush().await.unwrap();
        server.read_exact(&mut [0; 7]).await.unwrap();
        drop(stream);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(acknowledged_at_close(-1), None);
        OPEN.with_borrow(|open| assert!(open.is_empty()));
    }
}
