//! A port at which nobody listens.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port that refuses connections, for as long as this lives.
pub struct Refusing {
    address: SocketAddr,
    _bound: TcpSocket,
}

/// A port that refuses connections.
pub fn refusing() -> Refusing {
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    Refusing { address: bound.local_addr().unwrap(), _bound: bound }
}

impl Refusing {
    /// Where nobody listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
