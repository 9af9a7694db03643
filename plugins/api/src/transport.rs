//! How a request came over the wire. Says it; decides nothing.

use http::Version;

/// The protocol that carried an exchange between the client and the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
    /// A WebSocket: its handshake, once it was accepted, or a call in one of its messages.
    WebSocket,
}

impl Transport {
    /// The protocol of a request with this version of HTTP.
    #[must_use]
    pub fn of(version: Version) -> Self {
        match version {
            Version::HTTP_2 => Self::Http2,
            Version::HTTP_10 => Self::Http10,
            _ => Self::Http11,
        }
    }

    /// The word for it in logs and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2",
            Self::WebSocket => "websocket",
        }
    }
}
