//! Certificates and private keys in PEM files. Reports why a file is unusable.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::sign::SigningKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// The longest file that is read, in bytes; bundles of public authorities have a fifth of that.
const LONGEST_FILE: u64 = 1 << 20;

/// The certificates in a file: at least one, in the order of the file.
///
/// # Errors
/// The problem of the file, after its path.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let about = |what: String| format!("{}: {what}", path.display());
    let text = read(path).map_err(|error| about(format!("cannot be read: {error}")))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| about(format!("this is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(about("found no certificate, wanted one in PEM".to_owned()));
    }
    for (at, der) in certificates.iter().enumerate() {
        match X509Certificate::from_der(der) {
            Ok(([], _)) => {}
            _ => return Err(about(format!("certificate {} is damaged", at + 1))),
        }
    }
    Ok(certificates)
}

/// The first private key in a file.
///
/// # Errors
/// The problem of the file, after its path.
pub(super) fn signing_key(path: &Path) -> Result<Arc<dyn SigningKey>, String> {
    let about = |what: String| format!("{}: {what}", path.display());
    let text = read(path).map_err(|error| about(format!("cannot be read: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        about(match error {
            pem::Error::NoItemsFound if is_encrypted(&text) => {
                "this private key is encrypted, wanted one without a passphrase".to_owned()
            }
            pem::Error::NoItemsFound => "found no private key, wanted one in PEM".to_owned(),
            error => format!("this is not PEM: {error}"),
        })
    })?;
    ring::sign::any_supported_type(&key).map_err(|_| {
        about("this private key is of no known kind, wanted RSA, ECDSA (P-256, P-384) or Ed25519".to_owned())
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    const MARK: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    text.windows(MARK.len()).any(|window| window == MARK)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {LONGEST_FILE} bytes")));
    }
    Ok(text)
}
