//! How many bytes the other side of a TCP connection has acknowledged. Only Linux reports this.

use std::os::fd::AsFd;

/// The bytes that were acknowledged since the connection was opened from here, and one for its SYN (`tcpi_bytes_acked`). `None` if the
/// system does not say, or counts none because the bytes take another way than TCP, as eBPF and SMC can have them.
pub fn acknowledged(socket: &impl AsFd) -> Option<u64> {
    bytes_acked(socket).filter(|acknowledged| *acknowledged > 1)
}

#[cfg(target_os = "linux")]
fn bytes_acked(socket: &impl AsFd) -> Option<u64> {
    nix::sys::socket::getsockopt(socket, linux::TcpInfo).ok().map(|info| info.bytes_acked)
}

#[cfg(not(target_os = "linux"))]
fn bytes_acked(_: &impl AsFd) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use nix::libc;
    use nix::sys::socket::sockopt::GetStruct;

    /// The first members of `struct tcp_info` (`linux/tcp.h`), which Linux 4.1 has already. The members behind them depend on the kernel, and
    /// Pingora asks for more than those before 6.2 have.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub struct FirstMembers {
        _others: [u64; 15],
        pub bytes_acked: u64,
    }

    /// The option `TCP_INFO`.
    #[derive(Clone, Copy)]
    pub struct TcpInfo;

    nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, FirstMembers, GetStruct<FirstMembers>);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn bytes_are_acknowledged_if_they_arrive_before_the_server_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for arrives in [true, false] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut server = listener.accept().await.unwrap().0;
            assert_eq!(acknowledged(&client), None);
            client.write_all(b"earlier").await.unwrap();
            server.read_exact(&mut [0; 7]).await.unwrap();
            if arrives {
                client.write_all(b"request").await.unwrap();
                server.read_exact(&mut [0; 7]).await.unwrap();
            }
            drop(server);
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            if !arrives {
                client.write_all(b"request").await.unwrap();
            }
            assert_eq!(acknowledged(&client), Some(if arrives { 15 } else { 8 }));
        }
        assert_eq!(acknowledged(&listener), None, "no connection");
    }
}
