//! The TLS of a listener: what was read from its files, how these looked before that, and whether they have changed since. Reads them; when,
//! is said elsewhere.

use std::path::{Path, PathBuf};

use located_yaml::Location;
use log::warn;
use tokio_rustls::TlsAcceptor;
use watched_file::{Appearance, Settling, appearance};

use crate::settings::TlsSettings;
use crate::tls::{self, Certificates};

/// What is wrong with the files, each with its place in the YAML.
pub(super) type TlsFaults = Vec<(Location, String)>;

/// What was read from the files of a listener.
pub(super) struct ListenerTls {
    settings: TlsSettings,
    /// What handshakes are made with.
    pub acceptor: TlsAcceptor,
    /// The files of the certificates, and when they expire.
    pub expiries: Vec<(String, i64)>,
    files: Settling<Vec<Appearance>>,
}

impl ListenerTls {
    /// Reads the files, and warns of certificates that are not valid today.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(settings: &TlsSettings, base: &Path) -> Result<Self, TlsFaults> {
        // before they are read: one that changes meanwhile is read again
        let files = Settling::new(look(&files(settings, base)));
        let certificates = Certificates::load(settings, base)?;
        for (_, warning) in certificates.warnings() {
            warn!("{warning}");
        }
        let acceptor = TlsAcceptor::from(tls::server_config(&certificates));
        Ok(Self { settings: settings.clone(), acceptor, expiries: certificates.expiries().to_vec(), files })
    }

    /// The files, for a look at them.
    pub fn files(&self, base: &Path) -> Vec<PathBuf> {
        files(&self.settings, base)
    }

    /// The settings by which they are read.
    pub fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// Takes note of how the files look; whether they are to be read now.
    pub fn is_due(&mut self, now: Vec<Appearance>) -> bool {
        self.files.look(now)
    }

    /// The files that looked like this cannot be used: what was read before stays, until they change once more.
    pub fn stay(&mut self, appearance: Vec<Appearance>) {
        self.files.read(appearance);
    }
}

/// How files look, which may be on a disk that does not answer.
pub(super) fn look(files: &[PathBuf]) -> Vec<Appearance> {
    files.iter().map(|file| appearance(file)).collect()
}

fn files(settings: &TlsSettings, base: &Path) -> Vec<PathBuf> {
    settings.files().map(|file| base.join(file)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use located_yaml::Located;

    use super::*;
    use crate::settings::{CertificateSettings, MinVersion};

    fn settings() -> TlsSettings {
        let located = |file: &str| Located { at: Location::default(), value: PathBuf::from(file) };
        let pair = CertificateSettings { certificate: located("a.pem"), private_key: located("a.key") };
        let certificates = vec![Located { at: Location::default(), value: pair }];
        TlsSettings { certificates, min_version: MinVersion::Tls12, client_ca: None, client_certificates: None }
    }

    #[test]
    fn what_changes_between_reading_and_serving_is_read_again_and_what_cannot_be_used_once() {
        let base = std::env::temp_dir().join(format!("tollgate-listener-tls-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let write = || {
            let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
            fs::write(base.join("a.pem"), made.cert.pem()).unwrap();
            fs::write(base.join("a.key"), made.signing_key.serialize_pem()).unwrap();
        };
        write();
        let mut tls = ListenerTls::load(&settings(), &base).unwrap();
        write();
        let looked = look(&tls.files(&base));
        assert!(!tls.is_due(looked.clone()) && tls.is_due(looked.clone()));
        fs::write(base.join("a.key"), "no key").unwrap();
        let broken = look(&tls.files(&base));
        assert!(!tls.is_due(broken.clone()) && tls.is_due(broken.clone()));
        assert!(ListenerTls::load(&settings(), &base).is_err());
        tls.stay(broken.clone());
        assert!(!tls.is_due(broken.clone()) && !tls.is_due(broken));
        fs::remove_dir_all(base).unwrap();
    }
}
