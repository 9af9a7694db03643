//! What came of credentials that were checked before, so that a password is hashed once and not for each request. It keeps digests with a
//! key of this process, from which nobody learns a password.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use ring::hmac::{HMAC_SHA256, Key};
use ring::rand::SystemRandom;
use ring::{error, hmac};

use crate::credentials::Credentials;

/// As many are kept; all are dropped when there are more.
const MOST: usize = 4096;
const DIGEST: usize = 32;

/// The outcomes for one reading of the file.
pub(crate) struct Outcomes {
    key: Key,
    known: RwLock<HashMap<[u8; DIGEST], bool>>,
}

/// Credentials, as they are kept.
#[derive(Clone, Copy)]
pub(crate) struct CredentialsDigest([u8; DIGEST]);

impl Outcomes {
    /// None yet.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new() -> Result<Self, error::Unspecified> {
        Ok(Self { key: Key::generate(HMAC_SHA256, &SystemRandom::new())?, known: RwLock::default() })
    }

    /// The digest of credentials here.
    pub(crate) fn digest(&self, credentials: &Credentials) -> CredentialsDigest {
        let mut digest = [0; DIGEST];
        digest.copy_from_slice(hmac::sign(&self.key, credentials.as_bytes()).as_ref());
        CredentialsDigest(digest)
    }

    /// Whether these credentials were right; `None` if they were not checked.
    pub(crate) fn find(&self, digest: CredentialsDigest) -> Option<bool> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&digest.0).copied()
    }

    /// Keeps whether they were right.
    pub(crate) fn keep(&self, digest: CredentialsDigest, is_right: bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(digest.0, is_right);
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::http::header::AUTHORIZATION;
    use plugin_api::http::{HeaderMap, HeaderValue};

    use super::*;

    fn credentials(value: &'static str) -> Credentials {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        Credentials::of(&headers).unwrap()
    }

    #[test]
    fn an_outcome_is_that_of_the_same_credentials() {
        let outcomes = Outcomes::new().unwrap();
        let right = outcomes.digest(&credentials("Basic YWxpY2U6cGFzc3dvcmQ="));
        let wrong = outcomes.digest(&credentials("Basic YWxpY2U6YTpi"));
        assert_eq!(outcomes.find(right), None);
        outcomes.keep(right, true);
        outcomes.keep(wrong, false);
        assert_eq!((outcomes.find(right), outcomes.find(wrong)), (Some(true), Some(false)));
        let others = Outcomes::new().unwrap();
        assert_ne!(others.digest(&credentials("Basic YWxpY2U6cGFzc3dvcmQ=")).0, right.0);
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let outcomes = Outcomes::new().unwrap();
        for number in 0..=MOST {
            let mut digest = [0; DIGEST];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            outcomes.keep(CredentialsDigest(digest), true);
        }
        assert_eq!(outcomes.known.read().unwrap().len(), 1);
    }
}
