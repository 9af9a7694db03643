//! One small request by HTTP or HTTPS, on a connection of its own, within bounds of time and size: for what is fetched or reported
//! beside requests. Follows no redirects, so that a document comes from where the configuration says, repeats nothing, and logs
//! nothing. No error has the URL, which may hold a secret.
//!
//! ```no_run
//! # async fn example() -> Result<(), http_client::HttpError> {
//! use std::time::Duration;
//!
//! let client = http_client::HttpClient::new();
//! let url = "https://idp.example.com/keys".parse().unwrap();
//! let document = client.get(&url, 1 << 20, Duration::from_secs(5)).await?;
//! println!("{} bytes", document.len());
//! # Ok(())
//! # }
//! ```

mod answer;
mod error;
mod tls;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::request::Builder;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

pub use answer::Answer;
pub use error::HttpError;
pub use tls::{client_config, client_config_with, system_roots};

const JSON: &str = "application/json";

/// Sends requests. Servers are verified by the system's authorities, which are read when the first is asked by HTTPS, and kept.
#[derive(Debug, Default)]
pub struct HttpClient {
    tls: OnceLock<Arc<ClientConfig>>,
}

impl HttpClient {
    /// One that has sent nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The document at a URL, of at most so many bytes, if it is there with status 200 in this time.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(&self, url: &Uri, max_bytes: usize, limit: Duration) -> Result<Bytes, HttpError> {
        let read = async |answer: http::Response<Incoming>| {
            if answer.status() != StatusCode::OK {
                return Err(HttpError::Status(answer.status()));
            }
            let body = Limited::new(answer.into_body(), max_bytes).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|_| HttpError::Body)
        };
        let request = Request::get(target(url)).header(ACCEPT, JSON);
        timeout(limit, self.send(url, request, Bytes::new(), read)).await.map_err(|_| HttpError::Timeout)?
    }

    /// Posts this JSON to a URL, and returns the status of the answer that comes in this time.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(&self, url: &Uri, json: Bytes, limit: Duration) -> Result<StatusCode, HttpError> {
        let read = async |answer: http::Response<Incoming>| Ok(answer.status());
        let request = Request::post(target(url)).header(CONTENT_TYPE, JSON);
        timeout(limit, self.send(url, request, json, read)).await.map_err(|_| HttpError::Timeout)?
    }

    /// Sends a request with these headers and this body, and returns the answer that comes in this time, whatever its status.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn request(
        &self,
        method: Method,
        url: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, HttpError> {
        let mut request = Request::builder().method(method).uri(target(url));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        timeout(limit, self.send(url, request, body, Answer::read)).await.map_err(|_| HttpError::Timeout)?
    }

    /// Connects, and sends a request with this body.
    async fn send<T>(
        &self,
        url: &Uri,
        request: Builder,
        body: Bytes,
        read: impl AsyncFnOnce(http::Response<Incoming>) -> Result<T, HttpError>,
    ) -> Result<T, HttpError> {
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let authority = url.authority().filter(|_| is_tls || url.scheme() == Some(&Scheme::HTTP));
        let authority = authority.ok_or(HttpError::Url)?;
        let named = authority.as_str().rsplit('@').next().unwrap_or_default();
        let request = request.header(HOST, named).body(Full::new(body));
        let mut request = request.map_err(|_| HttpError::Url)?;
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static("tollgate"));
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| HttpError::Connection(error.to_string()))?;
        if !is_tls {
            return exchange(stream, request, read).await;
        }
        let config = self.config().map_err(HttpError::Tls)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpError::Url)?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        exchange(stream.map_err(|error| HttpError::Tls(error.to_string()))?, request, read).await
    }

    /// Authorities that cannot be read now may be there the next time.
    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(known) = self.tls.get() {
            return Ok(known.clone());
        }
        let config = client_config(system_roots()?)?;
        Ok(self.tls.get_or_init(|| config).clone())
    }
}

/// Sends a request on a connection, and reads its answer.
async fn exchange<S, T>(
    stream: S,
    request: Request<Full<Bytes>>,
    read: impl AsyncFnOnce(http::Response<Incoming>) -> Result<T, HttpError>,
) -> Result<T, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |error: hyper::Error| HttpError::Connection(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async { read(sender.send_request(request).await.map_err(broken)?).await };
    tokio::pin!(connection);
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // the last bytes may have come before the end
        _ = &mut connection => answer.await,
    }
}

fn target(url: &Uri) -> &str {
    url.path_and_query().map_or("/", |target| target.as_str())
}

#[cfg(test)]
mod tests;
