//! Certificates of TLS listeners: read and checked together, selected by SNI; whom clients and servers are verified by. Knows nothing
//! of connections.

mod by_name;
mod client;
mod client_certificates;
mod named_leaf;
mod pair;
mod pem;
mod subject;

use std::path::Path;
use std::sync::Arc;

use located_yaml::Location;
use rustls_pki_types::CertificateDer;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ALL_VERSIONS, Error, ServerConfig, SupportedProtocolVersion};

use crate::settings::{MinVersion, TlsSettings};

use by_name::ByName;
use pair::Pair;

pub use client::client_config;
pub use client_certificates::client_certificate;
pub use named_leaf::{NamedLeaf, named_leaves};

/// The certificates of a listener, each with its key.
#[derive(Debug)]
pub struct Certificates {
    config: Arc<ServerConfig>,
    warnings: Vec<(Location, String)>,
    expiries: Vec<(String, i64)>,
}

impl Certificates {
    /// Reads certificates and keys; relative paths start from `base`.
    ///
    /// # Errors
    /// Every file that is missing, unreadable or without usable content, and every key that does not match its certificate,
    /// each with its place.
    pub fn load(settings: &TlsSettings, base: &Path) -> Result<Self, Vec<(Location, String)>> {
        let mut pairs = Vec::with_capacity(settings.certificates.len());
        let mut faults = Vec::new();
        for settings in &settings.certificates {
            match Pair::load(settings, base) {
                Ok(pair) => pairs.push(pair),
                Err(wrong) => faults.extend(wrong),
            }
        }
        let clients = match client_certificates::verifier(settings, base) {
            Ok(clients) => clients,
            Err(wrong) => {
                faults.push(wrong);
                WebPkiClientVerifier::no_client_auth()
            }
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let at = settings.certificates.first().map(|first| first.at).unwrap_or_default();
        let warnings = pairs.iter().flat_map(|pair| pair.dates.iter().cloned()).collect();
        let expiries = pairs.iter().map(|pair| (pair.file.clone(), pair.expires)).collect();
        let Some(by_name) = ByName::new(pairs) else {
            return Err(vec![(at, "found no certificates, wanted at least one".to_owned())]);
        };
        match configure(by_name, clients, versions(settings.min_version)) {
            Ok(config) => Ok(Self { config: Arc::new(config), warnings, expiries }),
            Err(error) => Err(vec![(at, error.to_string())]),
        }
    }

    /// Certificates that have expired or are not valid yet. They are served nevertheless: a restart after the last day must
    /// not be worse than no restart.
    #[must_use]
    pub fn warnings(&self) -> &[(Location, String)] {
        &self.warnings
    }

    /// The file of each certificate, and when it or the first of its chain expires, in seconds since 1970.
    #[must_use]
    pub fn expiries(&self) -> &[(String, i64)] {
        &self.expiries
    }
}

/// Every problem with certificates and keys, including certificates that are not valid today.
#[must_use]
pub fn check(settings: &TlsSettings, base: &Path) -> Vec<(Location, String)> {
    match Certificates::load(settings, base) {
        Ok(certificates) => certificates.warnings,
        Err(faults) => faults,
    }
}

/// The TLS configuration of a listener with these certificates; HTTP/2 or HTTP/1.1 is chosen by ALPN.
#[must_use]
pub fn server_config(certificates: &Certificates) -> Arc<ServerConfig> {
    certificates.config.clone()
}

/// Reads the certificates of authorities, for verifying an upstream.
///
/// # Errors
/// The file is unreadable, has no certificate, or has an invalid one.
pub fn load_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    pem::certificates(path)
}

static TLS13_ALONE: [&SupportedProtocolVersion; 1] = [&TLS13];

fn versions(min: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        MinVersion::Tls12 => ALL_VERSIONS,
        MinVersion::Tls13 => &TLS13_ALONE,
    }
}

fn configure(
    by_name: ByName,
    clients: Arc<dyn ClientCertVerifier>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, Error> {
    // explicit, so that nothing depends on the default provider of the process
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // clients resume with tickets; the gateway keeps no sessions, and a reload replaces the ticket key
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

#[cfg(test)]
mod tests;
