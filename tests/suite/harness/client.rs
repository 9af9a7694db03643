//! Clients of a library's making: HTTP/1.1 and HTTP/2, in plain text and over TLS, whose bodies stream both ways.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::authority::Authority;
use super::raw::connect_tls;
use super::wait::soon;

/// HTTP/1.1 in plain text.
pub async fn http1(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Client::http1(stream, address.to_string(), "http").await
}

/// HTTP/2 in plain text, from the first byte on.
pub async fn h2c(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Client::h2(stream, address.to_string(), "http").await
}

/// HTTP/1.1 over TLS with this name.
pub async fn https1(address: SocketAddr, authority: &Authority, name: &str) -> Client {
    let stream = connect_tls(address, authority, name, &["http/1.1"]).await.unwrap();
    Client::http1(stream, name.to_owned(), "https").await
}

/// HTTP/2 over TLS with this name.
pub async fn h2(address: SocketAddr, authority: &Authority, name: &str) -> Client {
    let stream = connect_tls(address, authority, name, &["h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Client::h2(stream, name.to_owned(), "https").await
}

/// One connection. Dropping it closes the connection; dropping an answer that is not read to its end cancels it.
pub struct Client {
    sender: Sender,
    authority: String,
    scheme: &'static str,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Client {
    async fn http1(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        authority: String,
        scheme: &'static str,
    ) -> Self {
        let (sender, connection) = soon(http1::handshake(TokioIo::new(stream))).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { sender: Sender::Http1(sender), authority, scheme }
    }

    async fn h2(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        authority: String,
        scheme: &'static str,
    ) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = soon(handshake).await.unwrap();
        tokio::spawn(connection);
        Self { sender: Sender::H2(sender), authority, scheme }
    }

    /// Another handle of the same HTTP/2 connection.
    pub fn share(&self) -> Self {
        let Sender::H2(sender) = &self.sender else { panic!("HTTP/1.1 has one request at a time") };
        Self { sender: Sender::H2(sender.clone()), authority: self.authority.clone(), scheme: self.scheme }
    }

    /// A request with this method and target, to be given headers and a body.
    pub fn request(&self, method: &str, target: &str) -> request::Builder {
        let request = Request::builder().method(method);
        match &self.sender {
            Sender::Http1(_) => request.uri(target).header("host", &self.authority),
            Sender::H2(_) => {
                let uri = format!("{}://{}{target}", self.scheme, self.authority);
                request.uri(uri).version(Version::HTTP_2)
            }
        }
    }

    /// Sends a request, and waits for the head of its answer.
    ///
    /// # Errors
    /// That the connection or the stream broke before there was one.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Streaming> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                soon(sender.ready()).await?;
                soon(sender.send_request(request)).await?
            }
            Sender::H2(sender) => soon(sender.send_request(request)).await?,
        };
        Ok(Streaming::of(response))
    }

    /// Sends a request, and reads its whole answer.
    pub async fn call(&mut self, request: Request<Body>) -> Answer {
        self.send(request).await.unwrap().whole().await
    }

    /// The whole answer to a GET.
    pub async fn get(&mut self, target: &str) -> Answer {
        let request = self.request("GET", target).body(body(""));
        self.call(request.unwrap()).await
    }

    /// The whole answer to a POST of JSON.
    pub async fn post(&mut self, target: &str, json: impl Into<Bytes>) -> Answer {
        let request = self.request("POST", target).header("content-type", "application/json");
        self.call(request.body(body(json)).unwrap()).await
    }
}

/// The body of a request.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there at once.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is sent piece by piece, and its sender.
pub fn upload() -> (Upload, Body) {
    let (sender, pieces) = mpsc::channel::<io::Result<Frame<Bytes>>>(1);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    (Upload(sender), StreamBody::new(pieces).boxed_unsync())
}

/// Sends a body piece by piece; dropping it ends the body.
pub struct Upload(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Upload {
    /// Sends a piece, once there is room for it; `false` if nobody wants it any more.
    pub async fn send(&self, piece: impl Into<Bytes>) -> bool {
        soon(self.0.send(Ok(Frame::data(piece.into())))).await.is_ok()
    }

    /// Sends trailers, which end the body.
    pub async fn trailers(self, trailers: HeaderMap) {
        let _ = soon(self.0.send(Ok(Frame::trailers(trailers)))).await;
    }

    /// Breaks the request off in the middle of its body.
    pub async fn break_off(self) {
        let _ = soon(self.0.send(Err(io::ErrorKind::Other.into()))).await;
    }
}

/// An answer whose body is still to come.
pub struct Streaming {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    incoming: Incoming,
}

impl Streaming {
    fn of(response: Response<Incoming>) -> Self {
        let (head, incoming) = response.into_parts();
        Self { status: head.status, headers: head.headers, incoming }
    }

    /// The next piece, as it came; `None` at a clean end.
    pub async fn piece(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            match soon(self.incoming.frame()).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads until these bytes have come, and gives all up to there and whatever came with them.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.contains(end) {
            let piece = self.piece().await.unwrap_or_else(|| panic!("ended before {end:?}: {text:?}")).unwrap();
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        text
    }

    /// All that is still to come, and whether it came to a clean end.
    pub async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await {
            match piece {
                Ok(piece) => all.extend_from_slice(&piece),
                Err(_) => return (all, false),
            }
        }
        (all, true)
    }

    /// Reads it to its end, which must be clean.
    pub async fn whole(mut self) -> Answer {
        let (body, clean) = self.rest().await;
        assert!(clean, "broke off after {} bytes", body.len());
        Answer { status: self.status, headers: self.headers, body }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
