//! What came of credentials that were checked before, so that a password is hashed once and not for each request. It keeps digests with a
//! key of this process, from which nobody learns a password.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use ring::hmac::{HMAC_SHA256, Key};
use ring::rand::SystemRandom;
use ring::{error, hmac};

use crate::credentials::Credentials;

/// As many wrong ones are kept; all are dropped when there are more.
const MOST_WRONG: usize = 4096;
const DIGEST: usize = 32;

/// The outcomes for one reading of the file.
pub(crate) struct Outcomes {
    key: Key,
    /// What was right last, by the user's name. There are no more of these than the file has users, so no flood of wrong ones ends them.
    right: RwLock<HashMap<Box<str>, CredentialsDigest>>,
    wrong: RwLock<HashSet<CredentialsDigest>>,
}

/// Credentials, as they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CredentialsDigest([u8; DIGEST]);

impl Outcomes {
    /// None yet.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new() -> Result<Self, error::Unspecified> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new())?;
        Ok(Self { key, right: RwLock::default(), wrong: RwLock::default() })
    }

    /// The digest of credentials here.
    pub(crate) fn digest(&self, credentials: &Credentials) -> CredentialsDigest {
        let mut digest = [0; DIGEST];
        digest.copy_from_slice(hmac::sign(&self.key, credentials.as_bytes()).as_ref());
        CredentialsDigest(digest)
    }

    /// Whether credentials of this name were right; `None` if they were not checked.
    pub(crate) fn find(&self, name: &str, digest: CredentialsDigest) -> Option<bool> {
        if self.right.read().unwrap_or_else(PoisonError::into_inner).get(name) == Some(&digest) {
            return Some(true);
        }
        self.wrong.read().unwrap_or_else(PoisonError::into_inner).contains(&digest).then_some(false)
    }

    /// Keeps whether they were right.
    pub(crate) fn keep(&self, name: &str, digest: CredentialsDigest, is_right: bool) {
        if is_right {
            self.right.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), digest);
            return;
        }
        let mut wrong = self.wrong.write().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= MOST_WRONG {
            wrong.clear();
        }
        wrong.insert(digest);
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

    fn numbered(number: usize) -> CredentialsDigest {
        let mut digest = [0; DIGEST];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        CredentialsDigest(digest)
    }

    #[test]
    fn an_outcome_is_that_of_the_same_credentials() {
        let outcomes = Outcomes::new().unwrap();
        let right = outcomes.digest(&credentials("Basic YWxpY2U6cGFzc3dvcmQ="));
        let wrong = outcomes.digest(&credentials("Basic YWxpY2U6YTpi"));
        assert_eq!(outcomes.find("alice", right), None);
        outcomes.keep("alice", right, true);
        outcomes.keep("alice", wrong, false);
        assert_eq!((outcomes.find("alice", right), outcomes.find("alice", wrong)), (Some(true), Some(false)));
        let others = Outcomes::new().unwrap();
        assert_ne!(others.digest(&credentials("Basic YWxpY2U6cGFzc3dvcmQ=")), right);
    }

    #[test]
    fn a_flood_of_wrong_ones_is_bounded_and_leaves_the_right_ones() {
        let outcomes = Outcomes::new().unwrap();
        outcomes.keep("alice", numbered(0), true);
        for number in 1..=2 * MOST_WRONG + 1 {
            outcomes.keep("alice", numbered(number), false);
        }
        assert_eq!(outcomes.find("alice", numbered(0)), Some(true));
        assert_eq!(outcomes.wrong.read().unwrap().len(), 1);
    }
}
