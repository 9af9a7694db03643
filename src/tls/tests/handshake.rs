//! A handshake without a network, of a client that takes every certificate.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, ServerConnection, SignatureScheme,
    SupportedProtocolVersion, version,
};

use super::super::{Certificates, server_config};

/// What a client sees of a handshake.
pub(super) struct Handshake {
    /// The certificate.
    pub(super) seen: CertificateDer<'static>,
    /// The version of TLS.
    pub(super) version: Option<ProtocolVersion>,
    /// The protocol within it.
    pub(super) protocol: Option<Vec<u8>>,
}

impl Handshake {
    pub(super) fn new(certificates: &Certificates, name: &str) -> Self {
        Self::with(certificates, name, client(&[&version::TLS13], &[], all_schemes()))
    }

    pub(super) fn with(certificates: &Certificates, name: &str, client: ClientConfig) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(server_config(certificates)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            let mut flight = &flight[..];
            while !flight.is_empty() {
                server.read_tls(&mut flight).unwrap();
                server.process_new_packets().unwrap();
            }
            let mut flight = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            let mut flight = &flight[..];
            while !flight.is_empty() {
                client.read_tls(&mut flight).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        Self {
            seen: client.peer_certificates().unwrap()[0].clone().into_owned(),
            version: client.protocol_version(),
            protocol: client.alpn_protocol().map(<[u8]>::to_vec),
        }
    }
}

pub(super) fn client(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
    schemes: Vec<SignatureScheme>,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(schemes)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

pub(super) fn all_schemes() -> Vec<SignatureScheme> {
    ring::default_provider().signature_verification_algorithms.supported_schemes()
}

/// A client that takes every certificate, and signatures of these schemes.
#[derive(Debug)]
struct Trusting(Vec<SignatureScheme>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
