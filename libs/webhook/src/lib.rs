//! Posts JSON to a URL, over HTTP/1.1 with or without TLS, one connection for each. It neither repeats nor logs anything, and no
//! error and no debug output has the URL, which may hold a secret.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A URL to post to. Shown, it is its host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    /// Its host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// The URL, for those who write it where it was read from.
    #[must_use]
    pub fn expose(&self) -> String {
        self.0.to_string()
    }

    fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Posts this JSON, within this time.
    ///
    /// # Errors
    /// Why there is no answer, in words without the URL.
    pub async fn post(&self, json: Bytes, within: Duration) -> Result<StatusCode, String> {
        timeout(within, self.send(json)).await.map_err(|_| format!("no answer within {within:?}"))?
    }

    async fn send(&self, json: Bytes) -> Result<StatusCode, String> {
        let port = self.0.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 });
        // an address of version 6 stands in brackets
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((host, port)).await.map_err(|error| format!("cannot connect: {error}"))?;
        if !self.is_secure() {
            return self.exchange(socket, json).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| "its host is no name of a server".to_owned())?;
        let connector = TlsConnector::from(client_config()?);
        let socket = connector.connect(name, socket).await.map_err(|error| format!("TLS failed: {error}"))?;
        self.exchange(socket, json).await
    }

    async fn exchange(
        &self,
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        json: Bytes,
    ) -> Result<StatusCode, String> {
        let failed = |error: hyper::Error| format!("the connection failed: {error}");
        let (mut sender, connection) = handshake(TokioIo::new(socket)).await.map_err(failed)?;
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(self.request(json)?).await.map_err(failed);
        driver.abort();
        Ok(answer?.status())
    }

    fn request(&self, json: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let target = self.0.path_and_query().map_or("/", |target| target.as_str());
        let host = self.0.authority().map_or("", |authority| authority.as_str());
        Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(HOST, host)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static("tollgate"))
            .body(Full::new(json))
            .map_err(|_| "its URL makes no request".to_owned())
    }
}

impl FromStr for WebhookUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let url: Uri = text.parse().map_err(|_| "this is not a URL")?;
        match (url.scheme_str(), url.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Err("a URL with a user in it cannot be used; put a secret into its path or query")
            }
            (Some("http" | "https"), Some(_)) => Ok(Self(url)),
            _ => Err("wanted a URL like `https://hooks.example.com/path`"),
        }
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({}/…)", self.host())
    }
}

/// Verifies servers by the system's authorities.
fn client_config() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs()
        .map_err(|error| format!("the system's certificate authorities cannot be read: {error}"))?;
    roots.add_parsable_certificates(system);
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(versions.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_json_is_posted_to_the_path_and_the_status_comes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut received, mut bytes) = (Vec::new(), [0; 1024]);
            while !received.ends_with(b"{\"a\":1}") {
                let length = socket.read(&mut bytes).await.unwrap();
                received.extend_from_slice(&bytes[..length]);
            }
            socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            String::from_utf8(received).unwrap()
        });
        let url: WebhookUrl = format!("http://{address}/hooks/secret?key=1").parse().unwrap();
        let status = url.post(Bytes::from_static(b"{\"a\":1}"), Duration::from_secs(10)).await.unwrap();
        let received = server.await.unwrap();
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert!(received.starts_with("POST /hooks/secret?key=1 HTTP/1.1\r\n"), "{received}");
        assert!(received.contains(&format!("host: {address}\r\n")), "{received}");
    }

    #[tokio::test]
    async fn neither_errors_nor_debug_output_have_the_secret() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let url: WebhookUrl = format!("http://{free}/secret").parse().unwrap();
        let error = url.post(Bytes::new(), Duration::from_secs(10)).await.unwrap_err();
        assert!(error.starts_with("cannot connect") && !error.contains("secret"), "{error}");
        assert_eq!(format!("{url:?}"), "WebhookUrl(127.0.0.1/…)");
        for wrong in ["", "secret", "ftp://a/secret", "/secret", "https://user:secret@a/"] {
            let error = wrong.parse::<WebhookUrl>().unwrap_err();
            assert!(!error.contains("secret@") && !error.is_empty(), "{error}");
        }
    }
}
