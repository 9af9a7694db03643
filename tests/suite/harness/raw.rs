//! A client that sends exactly the bytes it is given, and shows exactly what comes back.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use super::authority::Authority;
use super::wait::soon;

/// Connects in plain text.
pub async fn connect(address: SocketAddr) -> Raw {
    let stream = soon(TcpStream::connect(address)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let socket = SockRef::from(&stream).try_clone().unwrap();
    Raw::new(stream, socket)
}

/// Connects with TLS, asking for this name.
///
/// # Errors
/// That the handshake failed.
pub async fn connect_tls(
    address: SocketAddr,
    authority: &Authority,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = soon(TcpStream::connect(address)).await?;
    tls_over(stream, authority.client(alpn), name).await
}

/// Speaks TLS on a connection that is open, asking for this name.
///
/// # Errors
/// That the handshake failed.
pub async fn tls_over(
    stream: TcpStream,
    client: Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon(TlsConnector::from(client).connect(name, stream)).await
}

/// A connection.
pub struct Raw {
    stream: Box<dyn Duplex>,
    socket: Socket,
    read: Vec<u8>,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Raw {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, socket: Socket) -> Self {
        Self { stream: Box::new(stream), socket, read: Vec::new() }
    }

    /// The same over a TLS connection.
    pub fn over(stream: TlsStream<TcpStream>) -> Self {
        let socket = SockRef::from(stream.get_ref().0).try_clone().unwrap();
        Self::new(stream, socket)
    }

    /// Sends these bytes, and waits until the system has them all.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends these bytes to a peer that may not want them.
    ///
    /// # Errors
    /// That the peer has closed the connection.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        soon(self.stream.write_all(bytes.as_ref())).await?;
        soon(self.stream.flush()).await
    }

    /// Reads a final answer to a request that is not HEAD, passing over any 1xx; what follows it stays for the next.
    pub async fn answer(&mut self) -> RawAnswer {
        self.answer_to("GET").await
    }

    /// Reads a final answer to a request with this method.
    pub async fn answer_to(&mut self, method: &str) -> RawAnswer {
        loop {
            let mut answer = self.head().await;
            if answer.status < 200 && answer.status != 101 {
                continue;
            }
            if method != "HEAD" && !matches!(answer.status, 101 | 204 | 304) {
                answer.body = self.body(&answer).await;
            }
            return answer;
        }
    }

    /// Reads a head alone, also that of a 1xx; its body, if any, comes with the next reads.
    pub async fn head(&mut self) -> RawAnswer {
        let head = self.until("\r\n\r\n").await;
        RawAnswer::parse(head)
    }

    /// Reads until this has come, and gives all up to its end.
    pub async fn until(&mut self, end: &str) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(self.more().await, "closed before {end:?}: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads exactly this many bytes.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await, "closed {} bytes before the end", length - self.read.len());
        }
        self.read.drain(..length).collect()
    }

    /// Reads all there is until the peer ends the connection, cleanly or by a reset.
    #[expect(clippy::wrong_self_convention, reason = "the end is the connection's")]
    pub async fn to_end(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Ends its own side; the peer's goes on.
    pub async fn half_close(&mut self) {
        soon(self.stream.shutdown()).await.unwrap();
    }

    /// Breaks the connection with a TCP reset.
    pub fn reset(self) {
        self.socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Makes the system hold little of what comes while nothing is read here.
    pub fn small_window(&self) {
        self.socket.set_recv_buffer_size(4096).unwrap();
    }

    async fn body(&mut self, answer: &RawAnswer) -> Vec<u8> {
        if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.chunks().await;
        }
        match answer.header("content-length") {
            Some(length) => self.exactly(length.parse().unwrap()).await,
            None => self.to_end().await,
        }
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until("\r\n").await).unwrap();
            let length = usize::from_str_radix(line.trim_end().split(';').next().unwrap(), 16).unwrap();
            if length == 0 {
                while self.until("\r\n").await != b"\r\n" {}
                return body;
            }
            body.extend(self.exactly(length).await);
            assert_eq!(self.exactly(2).await, b"\r\n");
        }
    }

    /// Reads something; `false` at the end, be it clean or not.
    async fn more(&mut self) -> bool {
        matches!(soon(self.stream.read_buf(&mut self.read)).await, Ok(read) if read > 0)
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct RawAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, in order, with their names as they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body, without chunks.
    pub body: Vec<u8>,
}

impl RawAnswer {
    fn parse(raw_head: Vec<u8>) -> Self {
        let mut lines = raw_head.strip_suffix(b"\r\n\r\n").unwrap().split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next().unwrap()).into_owned();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {first:?}"));
        let headers = lines.map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            (String::from_utf8_lossy(&line[..colon]).into_owned(), line[colon + 1..].trim_ascii().to_vec())
        });
        Self { status, headers: headers.collect(), body: Vec::new() }
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let first = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&first.1).ok()
    }

    /// All headers of this name, in order.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..]).collect()
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
