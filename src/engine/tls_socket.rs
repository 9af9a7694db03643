//! The socket of a connection over TLS to a server, which Pingora pools. It notes what the server had acknowledged as it is closed, since an
//! attempt that broke is looked at after that.

use std::cell::Cell;
use std::os::fd::{AsRawFd, RawFd};

use futures_util::future::BoxFuture;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::ext::connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::{Tracer, Tracing};
use pingora_error::{Error, ErrorType, Result};

use super::tcp_ack;

thread_local! {
    /// The socket of this thread that was closed last.
    static CLOSED: Cell<Option<Closed>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Closed {
    descriptor: RawFd,
    acknowledged: Option<u64>,
}

/// What the server had acknowledged on this socket, if that is the one that this thread closed last.
pub fn acknowledged_at_close(descriptor: RawFd) -> Option<u64> {
    CLOSED.get().filter(|closed| closed.descriptor == descriptor)?.acknowledged
}

/// Opens sockets as Pingora does.
#[derive(Debug)]
pub struct TlsConnector;

impl Connect for TlsConnector {
    fn connect<'connector, 'address, 'connected>(
        &'connector self,
        address: &'address SocketAddr,
    ) -> BoxFuture<'connected, Result<Stream>>
    where
        'connector: 'connected,
        'address: 'connected,
    {
        Box::pin(async move {
            let SocketAddr::Inet(address) = address else {
                return Error::e_explain(ErrorType::InternalError, "not an address of the internet");
            };
            let tcp = connect(address, None).await?;
            let descriptor = tcp.as_raw_fd();
            let mut stream = Stream::from(tcp);
            stream.tracer = Some(Tracer(Box::new(AtClose { descriptor })));
            Ok(stream)
        })
    }
}

/// Is told by Pingora when it closes a socket, just before.
#[derive(Clone, Debug)]
struct AtClose {
    descriptor: RawFd,
}

impl Tracing for AtClose {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {
        let acknowledged = tcp_ack::acknowledged(self.descriptor);
        // the thread may be ending
        let _ = CLOSED.try_with(|last| last.set(Some(Closed { descriptor: self.descriptor, acknowledged })));
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
        for comes in [true, false] {
            let mut stream = TlsConnector.connect(&address).await.unwrap();
            let mut server = listener.accept().await.unwrap().0;
            let descriptor = stream.as_raw_fd();
            let before = tcp_ack::acknowledged(descriptor).unwrap();
            if comes {
                stream.write_all(b"request").await.unwrap();
                stream.flush().await.unwrap();
                server.read_exact(&mut [0; 7]).await.unwrap();
            }
            drop(server);
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            if !comes {
                stream.write_all(b"request").await.unwrap();
                stream.flush().await.unwrap();
            }
            drop(stream);
            assert_eq!(acknowledged_at_close(descriptor), Some(before + if comes { 7 } else { 0 }));
            assert_eq!(acknowledged_at_close(-1), None);
        }
    }
}
