//! Gets a small document by HTTP or HTTPS, within bounds of time and size. Each time by a new connection: for what is fetched every few
//! minutes. Follows no redirects, so that a document comes from where the configuration says.
//!
//! ```no_run
//! # async fn example() -> Result<(), fetch::FetchError> {
//! use std::time::Duration;
//!
//! let fetcher = fetch::Fetcher::new();
//! let url = "https://idp.example.com/keys".parse().unwrap();
//! let document = fetcher.get(&url, 1 << 20, Duration::from_secs(5)).await?;
//! println!("{} bytes", document.len());
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Gets documents. Servers are verified by the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` apply), which are read when
/// the first is asked by HTTPS.
#[derive(Debug, Default)]
pub struct Fetcher {
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// Why a document was not got. Does not tell its URL, which may have a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The URL is not one of HTTP or HTTPS with a host.
    Url,
    /// The server cannot be reached, or breaks off.
    Connection(String),
    /// Its certificate is not trusted, or there is no TLS.
    Tls(String),
    /// It answers with this status.
    Status(StatusCode),
    /// The document is longer than wanted, or breaks off.
    Body,
    /// It took too long.
    Timeout,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("it is not a URL like `https://host/path`"),
            Self::Connection(why) => write!(f, "the server cannot be reached: {why}"),
            Self::Tls(why) => write!(f, "no TLS connection: {why}"),
            Self::Status(status) => write!(f, "the server answers with status {}", status.as_u16()),
            Self::Body => f.write_str("the answer is too long, or breaks off"),
            Self::Timeout => f.write_str("no answer in time"),
        }
    }
}

impl std::error::Error for FetchError {}

impl Fetcher {
    /// One that has fetched nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The document at a URL, of at most so many bytes, if it is there with status 200 in this time.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(&self, url: &Uri, max_bytes: usize, limit: Duration) -> Result<Bytes, FetchError> {
        timeout(limit, self.try_get(url, max_bytes)).await.map_err(|_| FetchError::Timeout)?
    }

    async fn try_get(&self, url: &Uri, max_bytes: usize) -> Result<Bytes, FetchError> {
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let authority = url.authority().filter(|_| is_tls || url.scheme() == Some(&Scheme::HTTP));
        let host = authority.ok_or(FetchError::Url)?.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| FetchError::Connection(error.to_string()))?;
        if !is_tls {
            return ask(stream, url, max_bytes).await;
        }
        let config = self.tls.get_or_init(tls).clone().map_err(FetchError::Tls)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Url)?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        ask(stream.map_err(|error| FetchError::Tls(error.to_string()))?, url, max_bytes).await
    }
}

/// Asks for a document on a connection of its own.
async fn ask<S>(stream: S, url: &Uri, max_bytes: usize) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |error: hyper::Error| FetchError::Connection(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(url.path_and_query().map_or("/", |target| target.as_str()))
        .header(HOST, url.authority().map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or("")))
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "tollgate")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Url)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), max_bytes).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|_| FetchError::Body)
    };
    tokio::pin!(connection);
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // the last bytes may have come before the end
        _ = &mut connection => answer.await,
    }
}

fn tls() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs()
        .map_err(|error| format!("the system's certificate authorities cannot be read: {error}"))?;
    roots.add_parsable_certificates(system);
    // explicit, so that nothing depends on the default provider of the process
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What is got from a server that answers with these bytes; none: it says nothing.
    async fn got(answer: Option<&'static str>) -> Result<Bytes, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys?a=b", listener.local_addr().unwrap()).parse().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1000];
            let read = stream.read(&mut head).await.unwrap();
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => std::future::pending().await,
            }
            String::from_utf8(head[..read].to_vec()).unwrap()
        });
        let limit = Duration::from_millis(if answer.is_some() { 20_000 } else { 50 });
        let got = Fetcher::new().get(&url, 10, limit).await;
        if answer.is_some() {
            assert!(server.await.unwrap().starts_with("GET /keys?a=b HTTP/1.1\r\n"));
        }
        got
    }

    #[tokio::test]
    async fn a_document_comes_whole_or_not_at_all() {
        assert_eq!(got(Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")).await.unwrap(), "{}");
        assert_eq!(got(Some("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}")).await.unwrap(), "{}");
        for (answer, error) in [
            (Some("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n12345678901"), FetchError::Body),
            (Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), FetchError::Body),
            (
                Some("HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n"),
                FetchError::Status(StatusCode::FOUND),
            ),
            (None, FetchError::Timeout),
        ] {
            assert_eq!(got(answer).await, Err(error));
        }
        for url in ["ftp://host/", "/path", "host"] {
            let url = url.parse().unwrap();
            assert_eq!(Fetcher::new().get(&url, 10, Duration::from_secs(9)).await, Err(FetchError::Url));
        }
    }
}
