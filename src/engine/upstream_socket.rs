//! How the socket of a plain connection to a server is opened: as Pingora opens it, with a descriptor of our own beside Pingora's.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::ext::connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::{Tracer, Tracing};
use pingora_error::{Error, ErrorType, Result};

use super::cork::Socket;

/// Opens the sockets of plain connections.
#[derive(Debug)]
pub struct UpstreamSocket;

#[async_trait]
impl Connect for UpstreamSocket {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let SocketAddr::Inet(address) = address else {
            return Err(Error::explain(ErrorType::InternalError, "not an address of the internet"));
        };
        let socket = connect(address, None).await?;
        let connection = socket.as_raw_fd();
        let descriptor = socket.as_fd().try_clone_to_owned();
        let mut stream = Stream::from(socket);
        // a process that has no more descriptors does without
        if let Ok(descriptor) = descriptor {
            stream.tracer = Some(Tracer(Box::new(Kept(Socket::new(connection, descriptor)))));
        }
        Ok(stream)
    }
}

/// Keeps a socket as long as Pingora keeps its stream.
#[derive(Debug)]
struct Kept(Arc<Socket>);

impl Tracing for Kept {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {}

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Self(self.0.clone()))
    }
}
