//! Selects a certificate by server name indication (SNI, RFC 6066 §3).

use std::collections::HashMap;
use std::sync::Arc;

use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::pair::Pair;

/// Certificates by name. A name may have several, with keys of different types.
#[derive(Debug)]
pub(super) struct ByName {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By the part after `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    first: Arc<CertifiedKey>,
}

impl ByName {
    /// `None` without a certificate.
    pub(super) fn new(pairs: Vec<Pair>) -> Option<Self> {
        let first = pairs.first()?.key.clone();
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for Pair { key, names, .. } in pairs {
            for name in names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent.to_owned()),
                    None => (&mut exact, name),
                };
                let keys: &mut Vec<Arc<CertifiedKey>> = map.entry(name).or_default();
                keys.push(key.clone());
            }
        }
        Some(Self { exact, wildcard, first })
    }

    /// The certificate for a client that sends `name` and can verify signatures of `schemes`: one with exactly this name,
    /// else one with a wildcard as its first label, else the first of all.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let name = name.unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let exact = self.exact.get(&name).and_then(|keys| fitting(keys, schemes));
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent).and_then(|keys| fitting(keys, schemes))
        };
        exact.or_else(wildcard).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(client.server_name(), client.signature_schemes()).clone())
    }
}

/// The first certificate that the client can verify; the first of all if it can verify none, so that the handshake fails.
fn fitting<'a>(keys: &'a [Arc<CertifiedKey>], schemes: &[SignatureScheme]) -> Option<&'a Arc<CertifiedKey>> {
    keys.iter().find(|key| key.key.choose_scheme(schemes).is_some()).or_else(|| keys.first())
}
