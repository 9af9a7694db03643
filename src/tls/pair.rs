//! One certificate with its key: reads both, checks that they match, and extracts names and validity.

use std::path::Path;
use std::sync::Arc;

use located_yaml::Location;
use rustls_pki_types::CertificateDer;
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::settings::CertificateSettings;

use super::pem;

/// A certificate with its chain and key.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// Its host names in lower case; `*.` stands for one label.
    pub(super) names: Vec<String>,
    /// Certificates of the chain that are not valid today.
    pub(super) dates: Vec<(Location, String)>,
    /// Its file, as the YAML names it.
    pub(super) file: String,
    /// The earliest end of validity in the chain, in seconds since 1970.
    pub(super) expires: i64,
}

impl Pair {
    /// # Errors
    /// The problems of the certificate and of the key.
    pub(super) fn load(settings: &CertificateSettings, base: &Path) -> Result<Self, Vec<(Location, String)>> {
        let (certificate, private_key) = (&settings.certificate, &settings.private_key);
        let path = base.join(&certificate.value);
        let key_path = base.join(&private_key.value);
        let chain = pem::certificates(&path).map_err(|what| (certificate.at, what));
        let key = pem::signing_key(&key_path).map_err(|what| (private_key.at, what));
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let unusable = |error: &dyn std::fmt::Display| vec![(certificate.at, format!("{}: {error}", path.display()))];

        match belong_together(&chain, &key) {
            Ok(()) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(vec![(private_key.at, mismatch(&chain, &path, &key, &key_path))]);
            }
            Err(error) => return Err(unusable(&error)),
        }

        let mut names = Vec::new();
        let mut dates = Vec::new();
        let mut expires = i64::MAX;
        for (at, der) in chain.iter().enumerate() {
            let (_, parsed) = X509Certificate::from_der(der).map_err(|error| unusable(&error))?;
            if at == 0 {
                names = host_names(&parsed);
            }
            expires = expires.min(parsed.validity().not_after.timestamp());
            dates.extend(out_of_date(&parsed).map(|what| (certificate.at, format!("{}: {what}", path.display()))));
        }
        let file = certificate.value.display().to_string();
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, key)), names, dates, file, expires })
    }
}

fn belong_together(chain: &[CertificateDer<'static>], key: &Arc<dyn SigningKey>) -> Result<(), Error> {
    match CertifiedKey::new(chain.to_vec(), key.clone()).keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        matched => matched,
    }
}

/// The message for a key that does not match the first certificate.
fn mismatch(chain: &[CertificateDer<'static>], path: &Path, key: &Arc<dyn SigningKey>, key_path: &Path) -> String {
    let (path, key_path) = (path.display(), key_path.display());
    match chain.iter().position(|other| belong_together(std::slice::from_ref(other), key).is_ok()) {
        Some(at) => {
            format!("{key_path}: this is the key of certificate {} in {path}, wanted that certificate first", at + 1)
        }
        None => format!("{key_path}: this key does not belong to the certificate in {path}"),
    }
}

/// The host names of a certificate. The common name counts only where there are no alternative names (RFC 6125 §6.4.4).
pub(super) fn host_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    match certificate.subject_alternative_name() {
        Ok(Some(alternative)) => {
            let names = alternative.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            });
            names.collect()
        }
        _ => {
            let names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
            names.map(str::to_ascii_lowercase).collect()
        }
    }
}

/// A message if the certificate is not valid now.
fn out_of_date(certificate: &X509Certificate<'_>) -> Option<String> {
    let (validity, now) = (certificate.validity(), ASN1Time::now());
    let message = |what: &str, time: ASN1Time| {
        // a server certificate often has an empty subject, an authority's has no host names
        let name = host_names(certificate).into_iter().next().unwrap_or_else(|| certificate.subject().to_string());
        format!("the certificate of `{name}` {what} on {}", time.to_datetime().date())
    };
    if now < validity.not_before {
        Some(message("becomes valid only", validity.not_before))
    } else if now > validity.not_after {
        Some(message("expired", validity.not_after))
    } else {
        None
    }
}
