//! TLS to servers outside of Pingora: for health checks.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::pem;

/// A client configuration that verifies servers by the authorities in a PEM file, or by those of the system
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` apply). It offers HTTP/1.1 only.
///
/// # Errors
/// The file is unusable, or the system's authorities cannot be read.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let Some(path) = ca else { return http_client::client_config(http_client::system_roots()?) };
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    http_client::client_config(roots)
}
