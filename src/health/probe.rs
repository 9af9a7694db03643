//! One check of one server over a connection of its own. It ends at the latest with its timeout, follows no redirects and
//! reads a bounded part of the response.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::balance::{StatusRange, UpstreamHeaders};

/// The longest response head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The part of a response body that is read, in bytes. A longer body passes without its rest.
const MAX_BODY: usize = 64 * 1024;

const AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"), " (health check)");

/// A prepared check.
pub(super) struct Probe {
    /// TLS and the name to verify; `None` for plain text.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The request to send once connected; `None`: a connection is enough.
    pub request: Option<HttpRequest>,
    /// Time limit for the whole check.
    pub timeout: Duration,
}

/// A GET request and the statuses that pass.
pub(super) struct HttpRequest {
    pub path: PathAndQuery,
    pub host: HeaderValue,
    pub headers: UpstreamHeaders,
    pub statuses: Vec<StatusRange>,
}

/// Why a check failed.
#[derive(Debug)]
pub enum ProbeError {
    /// No connection.
    Connect(io::Error),
    /// The TLS handshake failed, most often because of the certificate.
    Tls(io::Error),
    /// The response was not HTTP, or was incomplete.
    Http(hyper::Error),
    /// The response had this status.
    Status(u16),
    /// The timeout passed during this step.
    Timeout(Step),
}

/// The steps of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connecting.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Waiting for the response head.
    Head,
    /// Reading the response body.
    Body,
}

impl Probe {
    /// Checks the server at this address. Returns the status, if a request was sent.
    pub async fn run(&self, address: SocketAddr) -> Result<Option<u16>, ProbeError> {
        let mut step = Step::Connect;
        let asked = tokio::time::timeout(self.timeout, self.ask(address, &mut step)).await;
        asked.unwrap_or(Err(ProbeError::Timeout(step)))
    }

    async fn ask(&self, address: SocketAddr, step: &mut Step) -> Result<Option<u16>, ProbeError> {
        let stream = TcpStream::connect(address).await.map_err(ProbeError::Connect)?;
        let Some((connector, name)) = &self.tls else {
            return self.ask_over(stream, step).await;
        };
        *step = Step::Tls;
        let stream = connector.connect(name.clone(), stream).await.map_err(ProbeError::Tls)?;
        self.ask_over(stream, step).await
    }

    async fn ask_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        step: &mut Step,
    ) -> Result<Option<u16>, ProbeError> {
        let Some(request) = &self.request else { return Ok(None) };
        *step = Step::Head;
        let status = request.send(stream, step).await.map_err(ProbeError::Http)?;
        if request.statuses.iter().any(|good| good.contains(status)) {
            Ok(Some(status))
        } else {
            Err(ProbeError::Status(status))
        }
    }
}

impl HttpRequest {
    async fn send(&self, stream: impl AsyncRead + AsyncWrite + Unpin, step: &mut Step) -> Result<u16, hyper::Error> {
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
        let request = self.request();
        let answer = pin!(async {
            let mut answer = sender.send_request(request).await?;
            *step = Step::Body;
            let mut read = 0;
            while read < MAX_BODY
                && let Some(frame) = answer.frame().await
            {
                read += frame?.data_ref().map_or(0, Bytes::len);
            }
            Ok(answer.status().as_u16())
        });
        // polled here and not in a task, so that the connection ends with this future
        let mut answer = answer;
        tokio::select! {
            answered = &mut answer => answered,
            // what was read before the connection ended is still to be returned
            _ = connection => answer.await,
        }
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        for (name, value) in self.headers.iter() {
            match value {
                Some(value) => drop(headers.insert(name.clone(), value.clone())),
                None => drop(headers.remove(name)),
            }
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        request
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Tls(error) => write!(f, "TLS handshake failed: {error}"),
            Self::Http(error) => write!(f, "no whole HTTP answer: {error}"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Timeout(Step::Connect) => f.write_str("no connection in time"),
            Self::Timeout(Step::Tls) => f.write_str("no TLS handshake in time"),
            Self::Timeout(Step::Head) => f.write_str("no answer in time"),
            Self::Timeout(Step::Body) => f.write_str("no end of the answer in time"),
        }
    }
}

impl ProbeError {
    /// The status of a response that did not pass.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(*status),
            _ => None,
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Timeout(Step::Connect) => "check that it runs and listens there",
            Self::Tls(_) | Self::Timeout(Step::Tls) => "check its certificate, its name and upstreams.*.tls",
            Self::Http(_) => "check that it speaks HTTP/1.1 there",
            Self::Status(_) => "check the server, or health_check.path, .status and .host",
            Self::Timeout(_) => "check its load, or raise health_check.timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn probe(request: bool, milliseconds: u64) -> Probe {
        let request = request.then(|| HttpRequest {
            path: PathAndQuery::from_static("/health?deep=1"),
            host: HeaderValue::from_static("api.example.com"),
            headers: UpstreamHeaders::default(),
            statuses: vec![StatusRange::NO_ERROR],
        });
        Probe { tls: None, request, timeout: Duration::from_millis(milliseconds) }
    }

    /// Listens, and answers every connection with these bytes once it was asked; then does as `hold` says.
    async fn server(answer: &'static [u8], repeat: usize, hold: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                for _ in 0..repeat {
                    if stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
                if hold {
                    held.push(stream);
                }
            }
        });
        address
    }

    const LONG: u64 = 20_000;
    const SHORT: u64 = 100;

    #[tokio::test]
    async fn a_question_is_a_plain_get_of_the_settings() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8(head[..read].to_vec()).unwrap()
        });
        assert_eq!(probe(true, LONG).run(address).await.unwrap(), Some(204));
        let head = asked.await.unwrap();
        assert!(head.starts_with("GET /health?deep=1 HTTP/1.1\r\nhost: api.example.com\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: close\r\n") && !head.contains("content-length"), "{head}");
    }

    #[tokio::test]
    async fn what_a_server_answers_decides() {
        for (answer, found) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..], "Ok(Some(200))"),
            (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n", "Ok(Some(302))"),
            (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "Err(Status(503))"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", "Err(Http("),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "Err(Http("),
            (b"", "Err(Http("),
        ] {
            let address = server(answer, 1, false).await;
            let told = format!("{:?}", probe(true, LONG).run(address).await);
            assert!(told.starts_with(found), "{} gave {told}", String::from_utf8_lossy(answer));
        }
    }

    #[tokio::test]
    async fn a_server_that_never_ends_is_read_for_a_while_only() {
        // a body without end
        let address = server(b"HTTP/1.1 200 OK\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxx", usize::MAX, true).await;
        assert_eq!(probe(true, LONG).run(address).await.unwrap(), Some(200));
        // a head without end
        let address = server(b"HTTP/1.1 200 OK\r\nx: ", 1, false).await;
        assert!(matches!(probe(true, LONG).run(address).await, Err(ProbeError::Http(_))));
        let address =
            server(b"HTTP/1.1 200 OK\r\nx: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", usize::MAX, true).await;
        assert!(matches!(probe(true, LONG).run(address).await, Err(ProbeError::Http(_))));
    }

    #[tokio::test]
    async fn silence_ends_by_the_timeout_and_says_where() {
        let head = server(b"", 0, true).await;
        assert!(matches!(probe(true, SHORT).run(head).await, Err(ProbeError::Timeout(Step::Head))));
        let body = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", 1, true).await;
        assert!(matches!(probe(true, SHORT).run(body).await, Err(ProbeError::Timeout(Step::Body))));
    }

    #[tokio::test]
    async fn without_a_question_a_connection_is_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(probe(false, LONG).run(address).await.unwrap(), None);
        drop(listener);
        assert!(matches!(probe(false, LONG).run(address).await, Err(ProbeError::Connect(_))));
    }
}
