//! Certificates of servers and clients that a file of authorities names themselves. `openssl req -x509` marks one as an authority's,
//! which rustls accepts from nobody; curl and nginx accept it, since whoever named it trusts exactly this one.

use std::net::IpAddr;
use std::sync::Arc;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::pair::host_names;

/// A certificate that is trusted as that of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLeaf {
    sha256: [u8; SHA256_OUTPUT_LEN],
    /// The first and the last second of its validity, since 1970.
    valid: (i64, i64),
}

impl NamedLeaf {
    /// Whether it is the certificate with this SHA-256 digest, and valid now.
    #[must_use]
    pub fn is(&self, sha256: &[u8]) -> bool {
        let now = ASN1Time::now().timestamp();
        self.sha256 == sha256 && (self.valid.0..=self.valid.1).contains(&now)
    }
}

/// Those of the authorities that are authorities by their own word, and certificates for this server's name too.
#[must_use]
pub fn named_leaves(authorities: &[CertificateDer<'_>], server_name: &str) -> Vec<NamedLeaf> {
    let leaf = |der: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        (parsed.is_ca() && is_for(&parsed, server_name) && serves(&parsed)).then(|| {
            let mut sha256 = [0; SHA256_OUTPUT_LEN];
            sha256.copy_from_slice(digest(&SHA256, der).as_ref());
            let validity = parsed.validity();
            NamedLeaf { sha256, valid: (validity.not_before.timestamp(), validity.not_after.timestamp()) }
        })
    };
    authorities.iter().filter_map(leaf).collect()
}

/// Whether a certificate is valid now.
pub(super) fn is_valid_now(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, parsed)| parsed.validity().is_valid())
}

/// Whether it is for a server of this name or address. The common name counts only where there are no alternative names.
fn is_for(certificate: &X509Certificate<'_>, server_name: &str) -> bool {
    if let Ok(address) = server_name.parse::<IpAddr>() {
        let bytes = match &address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let alternative = certificate.subject_alternative_name().ok().flatten();
        return match alternative {
            Some(names) => {
                names.value.general_names.iter().any(|name| matches!(name, GeneralName::IPAddress(ip) if *ip == bytes))
            }
            None => host_names(certificate).iter().any(|name| name == server_name),
        };
    }
    let name = server_name.trim_end_matches('.').to_ascii_lowercase();
    host_names(certificate).iter().any(|known| match known.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => *known == name,
    })
}

/// Whether its extended key usage, if it has one, allows a server.
fn serves(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Verifies chains as rustls does, and accepts a certificate for the server's name that is named itself.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub(super) chains: Arc<WebPkiServerVerifier>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.or_else(|error| {
            let leaves = named_leaves(&self.authorities, &server_name.to_str());
            let sha256 = digest(&SHA256, end_entity);
            let is_named = leaves.iter().any(|leaf| leaf.is(sha256.as_ref()));
            if is_named { Ok(ServerCertVerified::assertion()) } else { Err(error) }
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn accepts(certificate: &CertificateDer<'_>, server_name: &str) -> bool {
        let sha256 = digest(&SHA256, certificate);
        named_leaves(std::slice::from_ref(certificate), server_name).iter().any(|leaf| leaf.is(sha256.as_ref()))
    }

    #[test]
    fn a_named_certificate_is_that_of_its_names_alone() {
        let alternative = certificate(&["a.test", "*.b.test", "10.0.0.1", "::1"], |_| {});
        for (name, is_accepted) in [
            ("a.test", true),
            ("A.Test", true),
            ("x.b.test", true),
            ("b.test", false),
            ("x.y.b.test", false),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
            ("::1", true),
            ("c.test", false),
            ("", false),
        ] {
            assert_eq!(accepts(&alternative, name), is_accepted, "{name}");
        }
        let common = certificate(&[], |params| params.distinguished_name.push(DnType::CommonName, "localhost"));
        assert!(accepts(&common, "localhost") && !accepts(&common, "a.test"));
        let both = certificate(&["a.test"], |params| params.distinguished_name.push(DnType::CommonName, "localhost"));
        assert!(!accepts(&both, "localhost"));
    }

    #[test]
    fn one_that_is_no_authoritys_or_for_no_server_or_out_of_date_is_left_to_rustls() {
        let leaf = certificate(&["a.test"], |params| params.is_ca = IsCa::NoCa);
        let client = certificate(&["a.test"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        let expired = certificate(&["a.test"], |params| params.not_after = date_time_ymd(2002, 3, 4));
        let early = certificate(&["a.test"], |params| params.not_before = date_time_ymd(2999, 3, 4));
        for certificate in [leaf, client, expired, early] {
            assert!(!accepts(&certificate, "a.test"));
        }
        let [one, other] = [(); 2].map(|()| certificate(&["a.test"], |_| {}));
        let sha256 = digest(&SHA256, &other);
        assert!(!named_leaves(&[one], "a.test").iter().any(|leaf| leaf.is(sha256.as_ref())));
    }
}
