//! The sessions of browsers that have shown the admin token. A session is known by the digest of a random id, which only its cookie has.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom, SystemRandom};

use crate::settings::AdminToken;

/// Lifetime of a session, however much it is used.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// The most sessions; one more ends the oldest.
const MOST: usize = 64;
/// Random bytes of an id.
const ID_BYTES: usize = 32;

/// All sessions. They end with the process.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

#[derive(Debug)]
struct Session {
    /// Of the id, so that what is in memory opens nothing.
    digest: [u8; SHA256_OUTPUT_LEN],
    /// The token that was shown. A session ends when another one is in force.
    token: AdminToken,
    began: Instant,
}

impl Sessions {
    /// Begins a session of a browser that has shown this token, and returns its id; `None` if the system has no random bytes.
    pub(super) fn begin(&self, token: &AdminToken, now: Instant) -> Option<String> {
        let mut bytes = [0; ID_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let mut id = String::with_capacity(2 * ID_BYTES);
        for byte in bytes {
            // writing to a string cannot fail
            let _ = write!(id, "{byte:02x}");
        }
        let mut sessions = self.lock();
        sessions.retain(|session| session.is_valid(token, now));
        if sessions.len() >= MOST {
            sessions.remove(0);
        }
        sessions.push(Session { digest: sha256(&id), token: token.clone(), began: now });
        Some(id)
    }

    /// Whether there is a session with this id, begun with the token that is in force.
    pub(super) fn has(&self, id: &str, token: &AdminToken, now: Instant) -> bool {
        let digest = sha256(id);
        let mut sessions = self.lock();
        sessions.retain(|session| session.is_valid(token, now));
        sessions.iter().any(|session| session.digest == digest)
    }

    /// Ends the session with this id.
    pub(super) fn end(&self, id: &str) {
        let digest = sha256(id);
        self.lock().retain(|session| session.digest != digest);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_valid(&self, token: &AdminToken, now: Instant) -> bool {
        self.token == *token && now.saturating_duration_since(self.began) < LIFETIME
    }
}

fn sha256(text: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut sum = [0; SHA256_OUTPUT_LEN];
    sum.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> AdminToken {
        AdminToken::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_session_lasts_until_its_time_is_over_or_it_is_ended() {
        let (sessions, token, now) = (Sessions::default(), token("0123456789abcdef"), Instant::now());
        let [first, second] = [(); 2].map(|()| sessions.begin(&token, now).unwrap());
        assert!(first.len() == 64 && first != second);
        for id in [&first, &second] {
            assert!(sessions.has(id, &token, now + LIFETIME - Duration::from_secs(1)));
        }
        for other in ["", &first[1..], &first.to_uppercase()[..]] {
            assert!(!sessions.has(other, &token, now), "{other}");
        }
        sessions.end(&first);
        assert!(!sessions.has(&first, &token, now) && sessions.has(&second, &token, now));
        assert!(!sessions.has(&second, &token, now + LIFETIME));
        assert!(!sessions.has(&second, &token, now), "one that is over does not come back");
    }

    #[test]
    fn another_token_ends_all_sessions() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (old, new) = (token("0123456789abcdef"), token("fedcba9876543210"));
        let id = sessions.begin(&old, now).unwrap();
        assert!(!sessions.has(&id, &new, now));
        assert!(!sessions.has(&id, &old, now), "the old token does not bring it back");
    }

    #[test]
    fn there_are_no_more_sessions_than_may_be_and_the_oldest_ends_first() {
        let (sessions, token, now) = (Sessions::default(), token("0123456789abcdef"), Instant::now());
        let ids: Vec<_> = (0..=MOST).map(|_| sessions.begin(&token, now).unwrap()).collect();
        assert_eq!(sessions.lock().len(), MOST);
        assert!(!sessions.has(&ids[0], &token, now) && ids[1..].iter().all(|id| sessions.has(id, &token, now)));
    }
}
