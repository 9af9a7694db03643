//! A gateway that starts while its predecessor still drains. Only the admin listener is in the way: the predecessor answers
//! there until it exits.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use log::{error, info};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::listener;

/// Time limit for the predecessor's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The most bytes of that answer that are read.
const MAX_ANSWER: u64 = 4096;
/// Pause between attempts to bind an address that cannot be bound although nothing accepts there.
const RETRY: Duration = Duration::from_millis(50);

/// Whether the admin listener at this address belongs to a gateway that is stopping.
pub(super) async fn is_draining(address: SocketAddr) -> bool {
    let readyz = timeout(ANSWER_TIMEOUT, readyz(reachable(address)));
    readyz.await.is_ok_and(|answer| answer.is_ok_and(|answer| says_draining(&answer)))
}

/// Binds the address as soon as the predecessor has released it.
pub(super) async fn take_over(address: SocketAddr) -> TcpListener {
    info!(address:%; "the admin address belongs to a gateway that is stopping; it is taken over when that one is gone");
    let mut reported = false;
    loop {
        match listener::bind(address) {
            Ok(socket) => {
                info!(address:%; "admin address taken over");
                return socket;
            }
            Err(error) if error.kind() != ErrorKind::AddrInUse && !reported => {
                reported = true;
                error!(address:%, error:%; "cannot listen on the admin address; trying again");
            }
            Err(_) => {}
        }
        if connection_closed(reachable(address)).await.is_err() {
            sleep(RETRY).await;
        }
    }
}

/// Opens a connection to the predecessor and waits until it is closed: at the latest when that process exits.
///
/// # Errors
/// Nothing accepts at this address.
async fn connection_closed(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    // any end counts: a closed connection, a reset, or unexpected bytes
    let _ = stream.read(&mut [0; 1]).await;
    Ok(())
}

/// The address at which a listener bound to this one is reachable from this host.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn readyz(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // what was received counts, however the connection ends
    let _ = stream.take(MAX_ANSWER).read_to_end(&mut answer).await;
    Ok(answer)
}

fn says_draining(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 503 ") && answer.ends_with(b"\r\n\r\ndraining")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_gateway_that_drains_is_a_predecessor() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let answers =
            ["HTTP/1.1 503 x\r\n\r\ndraining", "HTTP/1.1 503 x\r\n\r\nstarting", "HTTP/1.1 200 OK\r\n\r\ndraining", ""];
        let server = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = socket.accept().await.unwrap();
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let wildcard = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        for (asked, draining) in [(wildcard, true), (address, false), (address, false), (address, false)] {
            assert_eq!(is_draining(asked).await, draining);
        }
        server.await.unwrap();
        assert!(!is_draining(address).await, "nobody listens");
    }

    #[tokio::test]
    async fn the_address_is_taken_over_when_the_predecessor_lets_go_of_it() {
        let socket = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let taking = tokio::spawn(take_over(address));
        // its idle connections may end before it does
        drop(socket.accept().await.unwrap());
        let (connection, _) = socket.accept().await.unwrap();
        assert!(!taking.is_finished());
        drop((socket, connection));
        let taken = timeout(Duration::from_secs(10), taking).await.unwrap().unwrap();
        assert_eq!(taken.local_addr().unwrap(), address);
    }
}
