//! The settings of the process. Those of the listeners are in files of their own.

mod admin;
mod client_address;
mod listener;

use std::path::PathBuf;

use plugin_api::{ByteSize, Count, Period};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use admin::{AdminSettings, AdminToken};
pub use client_address::{AddressHeader, ClientAddress};
pub use listener::{CertificateSettings, ClientCertificates, ListenerSettings, MinVersion, TlsSettings};

/// The process as a whole.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Threads that serve requests, at most 1024; each connection stays on one. Absent: as many as there are cores. Read at
    /// start only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<Count<1, 1024>>,
    /// How long a stopping gateway waits for running requests before it cuts them.
    pub drain_timeout: Period,
    /// How long a stopping gateway still accepts while `/readyz` says 503 already, so that load balancers send nothing more to it when its
    /// listeners close.
    pub readiness_delay: Period,
    /// How long a new process may take, after `USR2`, until it serves in the place of this one. One that takes longer is ended.
    pub upgrade_timeout: Period,
    /// A file with the process id, for scripts that send signals. Relative to the YAML file; read at start only. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
    /// The largest request body that is read for plugins; a larger one gets 413. A route whose plugins read no body
    /// streams it, whatever its size. One with a `content-encoding` is unpacked to as much, but to no more than 8 MiB and 250
    /// bytes for each of its own: what is packed more densely is not read, and refused where it must be.
    pub max_body: ByteSize,
    /// What bodies may take in memory, all together: what is read of them for plugins, what is unpacked of it, and what is
    /// kept of answers for the ledger and for slow clients. A request beyond it gets 503. At least 1 MiB; absent: a quarter
    /// of the memory of the machine, or of the control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_memory: Option<MemorySize>,
    /// The largest head of a request, from 1 KiB to 1 MiB; a larger one gets 431. HTTP/2 counts 32 bytes more for each
    /// field. A change holds for connections that come later.
    pub max_header: HeaderSize,
    /// What heads may take in memory, all together, beyond the first 8 KiB of each, and the streams of HTTP/2 connections
    /// with 64 KiB each. A request beyond it gets 503. At least 1 MiB; absent: an eighth of the memory of the machine, or
    /// of the control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_header_memory: Option<MemorySize>,
    /// Whether headers whose names have an underscore go upstream. Many servers take `x_real_ip` and `x-real-ip` for the same header, so that
    /// a client could say what only a proxy may. `attribution` names some that do in any case.
    pub underscores_in_headers: bool,
    /// Whether headers are left out whose names have other characters than letters, digits and hyphens, as nginx does by default.
    pub ignore_invalid_headers: bool,
    /// How long a client may take to send a body that is read for plugins, and how long it may pause within one that
    /// streams; a slower one gets 408. Once a streaming answer has begun, bytes of the answer count too.
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
            readiness_delay: Period::from_secs(0),
            upgrade_timeout: Period::from_secs(60),
            pid_file: None,
            max_body: ByteSize::mebibytes(32),
            max_body_memory: None,
            max_header: HeaderSize(ByteSize::kibibytes(64)),
            max_header_memory: None,
            underscores_in_headers: false,
            ignore_invalid_headers: true,
            body_timeout: Period::from_secs(60),
            header_timeout: Period::from_secs(60),
            keepalive_timeout: Period::from_secs(75),
        }
    }
}

/// A budget of memory: no less than a small gateway needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "ByteSize", into = "ByteSize")]
#[schemars(with = "ByteSize")]
pub struct MemorySize(ByteSize);

impl MemorySize {
    const LEAST: ByteSize = ByteSize::mebibytes(1);

    /// As a size.
    #[must_use]
    pub fn get(self) -> ByteSize {
        self.0
    }
}

impl TryFrom<ByteSize> for MemorySize {
    type Error = String;

    fn try_from(size: ByteSize) -> Result<Self, String> {
        if size < Self::LEAST {
            Err(format!("`{size}` is too little; it must be at least 1MiB"))
        } else {
            Ok(Self(size))
        }
    }
}

impl From<MemorySize> for ByteSize {
    fn from(size: MemorySize) -> Self {
        size.0
    }
}

/// The size of a head: what an ordinary client sends, and no more than the parser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "ByteSize", into = "ByteSize")]
#[schemars(with = "ByteSize")]
pub struct HeaderSize(ByteSize);

impl HeaderSize {
    const LEAST: ByteSize = ByteSize::kibibytes(1);
    const MOST: ByteSize = ByteSize::mebibytes(1);
    /// What Pingora's parser takes, which is one byte less.
    const PARSED: usize = (1 << 20) - 1;

    /// In bytes.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.as_usize().min(Self::PARSED)
    }
}

impl TryFrom<ByteSize> for HeaderSize {
    type Error = String;

    fn try_from(size: ByteSize) -> Result<Self, String> {
        if size < Self::LEAST || size > Self::MOST {
            return Err(format!("max_header is {size}; it must be 1KiB to 1MiB"));
        }
        Ok(Self(size))
    }
}

impl From<HeaderSize> for ByteSize {
    fn from(size: HeaderSize) -> Self {
        size.0
    }
}
