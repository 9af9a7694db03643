//! The client's connection: its addresses and its TLS. One per connection, shared by the requests on it.

use std::net::SocketAddr;
use std::sync::Arc;

/// A client's connection. IPv4 addresses are never written as IPv6 (`::ffff:…`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end of the connection. `None` where it has no address (a Unix socket).
    pub peer: Option<SocketAddr>,
    /// The client's address in a PROXY protocol header. `None` where there was none, or its sender is no trusted proxy.
    pub proxied: Option<SocketAddr>,
    /// This end of the connection.
    pub local: Option<SocketAddr>,
    /// The listener's address, as the YAML writes it.
    pub listener: Option<SocketAddr>,
    /// Its TLS; `None` if it is in plain text.
    pub tls: Option<TlsInfo>,
}

/// What was agreed on in a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The protocol, as nginx writes it: `TLSv1.3`.
    pub protocol: &'static str,
    /// The cipher suite, as OpenSSL names it.
    pub cipher: Option<&'static str>,
    /// The name that the client asked for (SNI).
    pub server_name: Option<Box<str>>,
    /// The client's certificate, where it sent one that is valid.
    pub client: Option<ClientCertificate>,
}

/// A client's certificate that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject as in RFC 2253.
    pub subject: Box<str>,
    /// The common name in it.
    pub common_name: Option<Arc<str>>,
}

impl ConnectionInfo {
    /// A connection of which nothing is known.
    pub const UNKNOWN: Self = Self { peer: None, proxied: None, local: None, listener: None, tls: None };

    /// Who sent the requests on it: the client of a PROXY protocol header, else the peer.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.proxied.or(self.peer)
    }
}
