//! The settings of the process, its listeners and its admin listener.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use plugin_api::{ByteSize, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::located::Located;
use crate::routes::HostPattern;

/// The process as a whole.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Threads that serve requests; each connection stays on one. Absent: as many as there are cores. Read at start only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<NonZeroUsize>,
    /// How long a stopping gateway waits for running requests before it cuts them.
    pub drain_timeout: Period,
    /// The largest request body that is read for plugins; a larger one gets 413. A route whose plugins read no body
    /// streams it, whatever its size.
    pub max_body: ByteSize,
    /// How long a client may take to send a body that is read for plugins; a slower one gets 408.
    pub body_timeout: Period,
    /// How long a client may take to send the head of a request, before the connection is closed.
    pub header_timeout: Period,
    /// How long an idle connection from a client is kept open. For HTTP/2 connections read at start only.
    pub keepalive_timeout: Period,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            threads: None,
            drain_timeout: Period::from_secs(600),
            max_body: ByteSize::mebibytes(32),
            body_timeout: Period::from_secs(60),
            header_timeout: Period::from_secs(60),
            keepalive_timeout: Period::from_secs(75),
        }
    }
}

/// One address where clients connect: HTTP/1.1 and HTTP/2 on the same port.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// IP address and port: `0.0.0.0:3000`, `[::]:3000`. Port 0 lets the system choose one.
    #[schemars(with = "String")]
    pub address: Located<SocketAddr>,
    /// Connections that may be open at once; more wait in the system's queue.
    #[serde(default = "default_max_connections")]
    pub max_connections: NonZeroUsize,
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
    /// first of the list. Read again on reload.
    pub certificates: Vec<Located<CertificateSettings>>,
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

/// The operator's listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// IP address and port. It has no authentication: keep it on the loopback or on a private network.
    #[schemars(with = "String")]
    pub address: Located<SocketAddr>,
    /// Further names under which it may be asked: exact ones, or `*.example.com` for every name below. It is always
    /// answered by IP address and by names without dots, such as `localhost` or a service of Kubernetes. Under any other
    /// name, and for pages of other sites, only `/healthz` and `/readyz` answer.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
}
