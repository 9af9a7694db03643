//! TLS to servers outside of Pingora: for health checks.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::pem;

/// A client configuration that verifies servers by the authorities in a PEM file, or by those of the system
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` apply). It offers HTTP/1.1 only.
///
/// # Errors
/// The file is unusable, or the system's authorities cannot be read.
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
    // explicit, so that nothing depends on the default provider of the process
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
