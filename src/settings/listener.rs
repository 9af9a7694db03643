//! The settings of a listener and of its TLS.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use located_yaml::Located;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One address where clients connect: HTTP/1.1 and HTTP/2 on the same port.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// IP address and port: `0.0.0.0:3000`, `[::]:3000`. An IPv6 address takes no IPv4 connections, so that both can have the same
    /// port. Port 0 lets the system choose one.
    #[schemars(with = "String")]
    pub address: Located<SocketAddr>,
    /// Connections that may be open at once; more wait in the system's queue.
    #[serde(default = "default_max_connections")]
    pub max_connections: NonZeroUsize,
    /// Whether every connection begins with a PROXY protocol header, version 1 or 2, as load balancers send it. A connection
    /// without one is closed. The client's address in it is believed from `trusted_proxies` alone.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Serve TLS here. Absent: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
}

fn default_max_connections() -> NonZeroUsize {
    const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
    CONNECTIONS
}

/// TLS of a listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificates, chosen by the name the client asks for (SNI): an exact name first, then a wildcard, else the
    /// first of the list. Read again on reload, and within seconds when a file changes.
    pub certificates: Vec<Located<CertificateSettings>>,
    /// The oldest version that is spoken: `"1.2"` or `"1.3"`.
    #[serde(default)]
    pub min_version: MinVersion,
    /// The file with the authorities whose client certificates are accepted, in PEM. Read again as `certificates` are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<Located<PathBuf>>,
    /// Whether a client must present a certificate of `client_ca`. One that does not verify ends the handshake either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<Located<ClientCertificates>>,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Whether clients present certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// A client without a valid one gets no connection.
    Required,
    /// A client may do without.
    Optional,
}

impl TlsSettings {
    /// Every file that it names, as written.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.certificates.iter().flat_map(|pair| [&pair.certificate.value, &pair.private_key.value]);
        pairs.chain(self.client_ca.as_ref().map(|ca| &ca.value))
    }
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// The file with the certificate and its chain, its own first. Relative paths are relative to the YAML file.
    pub certificate: Located<PathBuf>,
    /// The file with the private key.
    pub private_key: Located<PathBuf>,
}
