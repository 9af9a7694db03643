//! TLS to servers, verified; the one way in which the gateway is a client of it outside of Pingora.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` apply).
///
/// # Errors
/// That they cannot be read.
pub fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs()
        .map_err(|error| format!("the system's certificate authorities cannot be read: {error}"))?;
    roots.add_parsable_certificates(system);
    Ok(roots)
}

/// A configuration that verifies servers by these authorities, and offers HTTP/1.1 only.
///
/// # Errors
/// That there is no authority, or no TLS version in common with this build.
pub fn client_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    client_config_with(chains.build().map_err(|error| error.to_string())?)
}

/// A configuration that verifies servers by this, and offers HTTP/1.1 only.
///
/// # Errors
/// That there is no TLS version in common with this build.
pub fn client_config_with(verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, String> {
    // explicit, so that nothing depends on the default provider of the process
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    // the verifiers given here verify: the word for any but rustls' own
    let mut config = versions.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
