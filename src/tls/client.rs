//! TLS as the gateway speaks it to servers outside of Pingora: in health checks.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::pem;

/// How servers are verified: by the authorities in a PEM file, or by the system's (and `SSL_CERT_FILE`, `SSL_CERT_DIR`).
/// HTTP/1.1 alone is offered.
///
/// # Errors
/// What is wrong with the file, or why the system's authorities cannot be read.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in pem::certificates(path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs()
                .map_err(|error| format!("the system's certificate authorities cannot be read: {error}"))?;
            roots.add_parsable_certificates(system);
        }
    }
    // named here, so that nothing depends on which provider the process happens to prefer
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
