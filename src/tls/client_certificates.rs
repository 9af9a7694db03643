//! The certificates of clients: whom they are verified by, and what a verified one says.

use std::path::Path;
use std::sync::Arc;

use located_yaml::Location;
use plugin_api::{ClientCertificate, LONGEST_TEXT, shortened};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::settings::{ClientCertificates, TlsSettings};

use super::named_leaf::is_valid_now;
use super::{pem, subject};

/// What verifies the clients of a listener.
///
/// # Errors
/// That the authorities cannot be read, or that client certificates are wanted without any.
pub(super) fn verifier(settings: &TlsSettings, base: &Path) -> Result<Arc<dyn ClientCertVerifier>, (Location, String)> {
    let Some(ca) = &settings.client_ca else {
        return match &settings.client_certificates {
            None => Ok(WebPkiClientVerifier::no_client_auth()),
            Some(wanted) => Err((
                wanted.at,
                "client certificates are wanted without `client_ca`, wanted the file of their authorities".to_owned(),
            )),
        };
    };
    let path = base.join(&ca.value);
    let authorities = pem::certificates(&path).map_err(|what| (ca.at, what))?;
    let unusable = |error: &dyn std::fmt::Display| (ca.at, format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for authority in &authorities {
        roots.add(authority.clone()).map_err(|error| unusable(&error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let is_optional = settings.client_certificates.as_deref() == Some(&ClientCertificates::Optional);
    let builder = if is_optional { builder.allow_unauthenticated() } else { builder };
    let chains = builder.build().map_err(|error| unusable(&error))?;
    Ok(Arc::new(ClientVerifier { chains, named: authorities }))
}

/// Verifies chains as rustls does, and accepts a certificate that is named itself, as OpenSSL does.
#[derive(Debug)]
struct ClientVerifier {
    chains: Arc<dyn ClientCertVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.chains.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now);
        verified.or_else(|error| {
            let is_named = self.named.iter().any(|named| named == end_entity);
            if is_named && is_valid_now(end_entity) && is_for_clients(end_entity) {
                Ok(ClientCertVerified::assertion())
            } else {
                Err(error)
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether its extended key usage, if it has one, allows a client.
fn is_for_clients(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, parsed)| match parsed.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.client_auth,
        Ok(None) => true,
        Err(_) => false,
    })
}

/// What a verified certificate says of its client; `None` where it cannot be read.
#[must_use]
pub fn client_certificate(der: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    // the name is a text of the client's authority, and bounded like any other
    let (subject, name) = (subject::rfc2253(parsed.subject()), subject::common_name(parsed.subject()));
    Some(ClientCertificate {
        subject: subject.into(),
        common_name: name.map(|name| shortened(&name, LONGEST_TEXT).into()),
    })
}
