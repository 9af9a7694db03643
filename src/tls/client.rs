//! TLS to servers outside of Pingora: for health checks.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::named_leaf::ServerVerifier;
use super::pem;

/// A client configuration that verifies servers by the authorities in a PEM file, or by those of the system
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` apply). It offers HTTP/1.1 only.
///
/// # Errors
/// The file is unusable, or the system's authorities cannot be read.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let Some(path) = ca else { return http_client::client_config(http_client::system_roots()?) };
    let authorities = pem::certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &authorities {
        roots.add(certificate.clone()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let chains = chains.build().map_err(|error| format!("{}: {error}", path.display()))?;
    http_client::client_config_with(Arc::new(ServerVerifier { chains, authorities }))
}
