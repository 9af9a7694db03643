//! What the other side of a TCP connection has acknowledged. A server that has closed a connection in order, by FIN, and has acknowledged
//! nothing of a request has not read it: its FIN acknowledges all that had come by then (RFC 9293 §3.10.7). Linux alone tells.

use std::os::fd::RawFd;

use pingora_core::protocols::l4::ext::get_tcp_info;

/// The bytes that were acknowledged since the connection was opened from here, and one for its SYN; `None` if that is unknown.
pub fn acknowledged(descriptor: RawFd) -> Option<u64> {
    let acknowledged = get_tcp_info(descriptor).ok()?.tcpi_bytes_acked;
    // other systems have zeros, where there is at least the SYN
    (acknowledged > 0).then_some(acknowledged)
}

/// Whether no byte was acknowledged behind the first `earlier` ones of the connection. False if that is unknown.
pub fn nothing_behind(earlier: u64, descriptor: RawFd) -> bool {
    acknowledged(descriptor).is_some_and(|acknowledged| acknowledged <= earlier + 1)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn bytes_are_acknowledged_once_they_have_come_to_a_server_that_has_not_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for comes_first in [true, false] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut server = listener.accept().await.unwrap().0;
            client.write_all(b"earlier").await.unwrap();
            server.read_exact(&mut [0; 7]).await.unwrap();
            if comes_first {
                client.write_all(b"request").await.unwrap();
                server.read_exact(&mut [0; 7]).await.unwrap();
            }
            drop(server);
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            if !comes_first {
                client.write_all(b"request").await.unwrap();
            }
            assert_eq!(nothing_behind(7, client.as_raw_fd()), !comes_first);
            assert!(nothing_behind(14, client.as_raw_fd()));
        }
        assert!(!nothing_behind(7, -1), "no connection");
    }
}
