//! A gateway that starts while the one before it still lets its last requests end. Only the admin listener is in the way:
//! it answers until its gateway is gone.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use log::{error, info};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::listener;

/// How long the other one may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest answer that is read, in bytes.
const LONGEST: u64 = 4096;
/// How often the address is tried.
const EVERY: Duration = Duration::from_millis(50);

/// Whether the admin listener at this address is that of a gateway that is stopping.
pub(super) async fn is_draining(address: SocketAddr) -> bool {
    timeout(LIMIT, readyz(reached(address))).await.is_ok_and(|answer| answer.is_ok_and(|answer| says_draining(&answer)))
}

/// Waits until the address is free, and takes it.
pub(super) async fn take_over(address: SocketAddr) -> TcpListener {
    info!(address:%; "the admin address belongs to a gateway that is stopping; it is taken over when that one is gone");
    let mut told = false;
    loop {
        match listener::bind(address) {
            Ok(socket) => {
                info!(address:%; "admin address taken over");
                return socket;
            }
            Err(error) if error.kind() != ErrorKind::AddrInUse && !told => {
                told = true;
                error!(address:%, error:%; "cannot listen on the admin address; trying on");
            }
            Err(_) => {}
        }
        sleep(EVERY).await;
    }
}

/// Where a listener on this address can be reached from here.
fn reached(address: SocketAddr) -> SocketAddr {
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
    // what has come counts, however the connection ends
    let _ = stream.take(LONGEST).read_to_end(&mut answer).await;
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
}
