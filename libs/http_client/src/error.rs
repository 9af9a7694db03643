//! Why a request has no answer that is of use.

use std::fmt;

use http::StatusCode;

/// Why a request has no answer that is of use. Does not tell its URL, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The URL is not one of HTTP or HTTPS with a host.
    Url,
    /// The server cannot be reached, or breaks off.
    Connection(String),
    /// Its certificate is not trusted, or there is no TLS.
    Tls(String),
    /// It answers with this status.
    Status(StatusCode),
    /// The answer is longer than wanted, or breaks off.
    Body,
    /// It took too long.
    Timeout,
}

impl fmt::Display for HttpError {
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

impl std::error::Error for HttpError {}
