//! Handshakes without a network: what is read from files, and which certificate a client then sees.

mod handshake;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use located_yaml::Located;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd};
use rustls_pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, ProtocolVersion, ServerConnection, SignatureScheme, version};

use crate::settings::{CertificateSettings, ClientCertificates};

use super::*;

use handshake::{Handshake, all_schemes, client};

#[test]
fn the_exact_name_wins_then_the_wildcard_then_the_first() {
    let folder = Folder::new();
    folder.identity("first", &["first.example.com"]);
    folder.identity("wildcard", &["*.example.com", "example.com"]);
    folder.identity("exact", &["API.example.com"]);
    let certificates = folder.load(&["first", "wildcard", "exact"]).unwrap();
    for (name, chosen) in [
        ("first.example.com", "first"),
        ("api.example.com", "exact"),
        ("aPi.Example.COM", "exact"),
        ("other.example.com", "wildcard"),
        ("example.com", "wildcard"),
        ("a.b.example.com", "first"),
        ("example.org", "first"),
        ("com", "first"),
        // no name is asked for by address
        ("127.0.0.1", "first"),
    ] {
        assert_eq!(folder.name_of(&Handshake::new(&certificates, name).seen), chosen, "{name}");
    }
}

#[test]
fn of_two_certificates_with_one_name_a_client_gets_the_one_whose_signatures_it_knows() {
    let folder = Folder::new();
    let params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    folder.signed("edwards", &params, &KeyPair::generate_for(&PKCS_ED25519).unwrap());
    folder.signed("p256", &params, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    let certificates = folder.load(&["edwards", "p256"]).unwrap();
    for (scheme, chosen) in [(SignatureScheme::ED25519, "edwards"), (SignatureScheme::ECDSA_NISTP256_SHA256, "p256")] {
        let client = client(&[&version::TLS13], &[], vec![scheme]);
        assert_eq!(folder.name_of(&Handshake::with(&certificates, "a.example.com", client).seen), chosen);
    }
}

#[test]
fn the_common_name_counts_only_without_alternative_names() {
    let folder = Folder::new();
    folder.identity("first", &["first.example.com"]);
    for (file, alternative) in [("old", None), ("new", Some("alternative.example.com"))] {
        let mut params =
            CertificateParams::new(alternative.map(str::to_owned).into_iter().collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("{file}.example.com"));
        folder.signed(file, &params, &KeyPair::generate().unwrap());
    }
    let certificates = folder.load(&["first", "old", "new"]).unwrap();
    for (name, chosen) in [("old.example.com", "old"), ("new.example.com", "first"), ("alternative.example.com", "new")]
    {
        assert_eq!(folder.name_of(&Handshake::new(&certificates, name).seen), chosen, "{name}");
    }
}

#[test]
fn both_versions_of_tls_and_both_versions_of_http_are_spoken() {
    let folder = Folder::new();
    folder.identity("a", &["a.example.com"]);
    let certificates = folder.load(&["a"]).unwrap();
    for (offered, spoken) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        for version in [&version::TLS12, &version::TLS13] {
            let handshake = Handshake::with(&certificates, "a.example.com", client(&[version], offered, all_schemes()));
            assert_eq!(handshake.version, Some(version.version));
            assert_eq!(handshake.protocol.as_deref(), spoken.map(str::as_bytes));
        }
    }
}

#[test]
fn every_file_that_is_of_no_use_is_told_at_its_place() {
    let folder = Folder::new();
    folder.identity("good", &["a.example.com"]);
    folder.identity("other", &["b.example.com"]);
    folder.write("empty.pem", "");
    folder.write("words.pem", "hello");
    folder.write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    folder.write("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    folder.write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n");
    folder.write("damaged.key", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    folder.write("chain.pem", &(folder.read("other.pem") + &folder.read("good.pem")));
    let cases = [
        ("none.pem", "good.key", 1, "none.pem: cannot be read: No such file"),
        (".", "good.key", 1, "cannot be read: Is a directory"),
        ("empty.pem", "good.key", 1, "found no certificate"),
        ("words.pem", "good.key", 1, "found no certificate"),
        ("good.key", "good.key", 1, "found no certificate"),
        ("cut.pem", "good.key", 1, "this is not PEM"),
        ("damaged.pem", "good.key", 1, "certificate 1 is damaged"),
        ("good.pem", "none.key", 2, "none.key: cannot be read: No such file"),
        ("good.pem", "good.pem", 2, "found no private key"),
        ("good.pem", "locked.key", 2, "is encrypted"),
        ("good.pem", "damaged.key", 2, "of no known kind"),
        ("good.pem", "other.key", 2, "does not belong to the certificate"),
        ("chain.pem", "good.key", 2, "this is the key of certificate 2"),
    ];
    let all: Vec<_> = cases.iter().map(|(certificate, key, ..)| (*certificate, *key)).collect();
    let told = Certificates::load(&settings(&all), &folder.path).unwrap_err();
    assert_eq!(told.len(), cases.len(), "{told:#?}");
    for (at, ((_, _, column, what), (place, message))) in cases.iter().zip(&told).enumerate() {
        assert_eq!((place.line, place.column), (at + 1, *column), "{message}");
        assert!(message.contains(what), "{message}");
    }
    let both = check(&settings(&[("none.pem", "none.key")]), &folder.path);
    assert_eq!(both.iter().map(|(at, _)| at.column).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_listener_without_certificates_is_refused() {
    assert_eq!(check(&settings(&[]), &PathBuf::new()).len(), 1);
}

#[test]
fn a_certificate_out_of_date_is_an_error_to_check_and_a_warning_to_run() {
    let folder = Folder::new();
    let mut params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 3, 4);
    folder.signed("old", &params, &KeyPair::generate().unwrap());
    params.not_before = date_time_ymd(3000, 5, 6);
    params.not_after = date_time_ymd(3001, 1, 1);
    folder.signed("early", &params, &KeyPair::generate().unwrap());
    folder.identity("good", &["b.example.com"]);
    // an intermediate that has expired breaks clients, too
    folder.write("chain.pem", &(folder.read("good.pem") + &folder.read("old.pem")));
    folder.write("chain.key", &folder.read("good.key"));

    let names = ["old", "good", "early", "chain"];
    let certificates = folder.load(&names).unwrap();
    let warnings = certificates.warnings();
    assert_eq!(warnings.iter().map(|(at, _)| (at.line, at.column)).collect::<Vec<_>>(), [(1, 1), (3, 1), (4, 1)]);
    for ((_, message), what) in
        warnings.iter().zip(["expired on 2002-03-04", "becomes valid only on 3000-05-06", "expired on 2002-03-04"])
    {
        assert!(message.contains(what), "{message}");
    }
    let files = names.map(|name| (format!("{name}.pem"), format!("{name}.key")));
    let files: Vec<_> = files.iter().map(|(certificate, key)| (certificate.as_str(), key.as_str())).collect();
    assert_eq!(check(&settings(&files), &folder.path), warnings);
}

#[test]
fn the_oldest_version_is_that_of_the_settings() {
    let folder = Folder::new();
    folder.identity("a", &["a.example.com"]);
    let settings = TlsSettings { min_version: MinVersion::Tls13, ..settings(&[("a.pem", "a.key")]) };
    let certificates = Certificates::load(&settings, &folder.path).unwrap();
    assert_eq!(Handshake::new(&certificates, "a.example.com").version, Some(ProtocolVersion::TLSv1_3));
    let mut old = ClientConnection::new(
        Arc::new(client(&[&version::TLS12], &[], all_schemes())),
        ServerName::try_from("a.example.com").unwrap(),
    )
    .unwrap();
    let mut server = ServerConnection::new(server_config(&certificates)).unwrap();
    let mut hello = Vec::new();
    old.write_tls(&mut hello).unwrap();
    server.read_tls(&mut &hello[..]).unwrap();
    assert!(server.process_new_packets().is_err());
}

#[test]
fn client_certificates_that_cannot_be_verified_are_an_error_at_its_place() {
    let folder = Folder::new();
    folder.identity("a", &["a.example.com"]);
    folder.write("empty.pem", "");
    let at = |column| Location::new(7, column);
    let wanted = Some(Located { value: ClientCertificates::Optional, at: at(3) });
    let without = TlsSettings { client_certificates: wanted, ..settings(&[("a.pem", "a.key")]) };
    let ca = |file: &str| Some(Located { value: PathBuf::from(file), at: at(5) });
    let empty = TlsSettings { client_ca: ca("empty.pem"), ..settings(&[("a.pem", "a.key")]) };
    let missing = TlsSettings { client_ca: ca("none.pem"), ..settings(&[("a.pem", "a.key")]) };
    for (settings, column, what) in [
        (without, 3, "client certificates are wanted without `client_ca`"),
        (empty, 5, "empty.pem: found no certificate"),
        (missing, 5, "none.pem: cannot be read"),
    ] {
        let told = Certificates::load(&settings, &folder.path).unwrap_err();
        assert_eq!(told.iter().map(|(at, _)| (at.line, at.column)).collect::<Vec<_>>(), [(7, column)]);
        assert!(told[0].1.contains(what), "{told:?}");
    }
}

#[test]
fn authorities_are_read_or_their_file_is_told() {
    let folder = Folder::new();
    folder.identity("a", &["a.example.com"]);
    folder.identity("b", &["b.example.com"]);
    folder.write("both.pem", &(folder.read("a.pem") + "some words between\n" + &folder.read("b.pem")));
    assert_eq!(load_ca(&folder.path.join("both.pem")).unwrap().len(), 2);
    for (file, what) in [("a.key", "a.key: found no certificate"), ("none.pem", "none.pem: cannot be read")] {
        let message = load_ca(&folder.path.join(file)).unwrap_err();
        assert!(message.contains(what), "{message}");
    }
    let file = fs::File::create(folder.path.join("endless.pem")).unwrap();
    file.set_len(1 << 40).unwrap();
    let message = load_ca(&folder.path.join("endless.pem")).unwrap_err();
    assert!(message.contains("longer than"), "{message}");
}

/// A folder of the test's own.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tollgate-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path.join(file), text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    /// A certificate for these names in `file.pem`, its key in `file.key`.
    fn identity(&self, file: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.signed(file, &CertificateParams::new(names).unwrap(), &KeyPair::generate().unwrap());
    }

    fn signed(&self, file: &str, params: &CertificateParams, key: &KeyPair) {
        self.write(&format!("{file}.pem"), &params.self_signed(key).unwrap().pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    fn load(&self, files: &[&str]) -> Result<Certificates, Vec<(Location, String)>> {
        let files: Vec<_> = files.iter().map(|file| (format!("{file}.pem"), format!("{file}.key"))).collect();
        let files: Vec<_> = files.iter().map(|(certificate, key)| (certificate.as_str(), key.as_str())).collect();
        Certificates::load(&settings(&files), &self.path)
    }

    /// In which file a certificate is, without `.pem`.
    fn name_of(&self, certificate: &CertificateDer<'_>) -> String {
        let paths = fs::read_dir(&self.path).unwrap().map(|entry| entry.unwrap().path());
        let mut paths = paths.filter(|path| path.extension().is_some_and(|ending| ending == "pem"));
        let path = paths.find(|path| load_ca(path).is_ok_and(|read| read[0] == *certificate)).unwrap();
        path.file_stem().unwrap().to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Settings with one certificate per line: its file in column 1, its key's in column 2.
fn settings(files: &[(&str, &str)]) -> TlsSettings {
    let certificates = files.iter().enumerate().map(|(index, (certificate, key))| {
        let at = |column| Location::new(index + 1, column);
        let settings = CertificateSettings {
            certificate: Located { value: PathBuf::from(certificate), at: at(1) },
            private_key: Located { value: PathBuf::from(key), at: at(2) },
        };
        Located { value: settings, at: at(0) }
    });
    TlsSettings {
        certificates: certificates.collect(),
        min_version: MinVersion::default(),
        client_ca: None,
        client_certificates: None,
    }
}
