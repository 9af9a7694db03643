//! A request's body that was read in full before it goes upstream, for as long as another attempt may need it.

use bytes::Bytes;

/// A body that was read here in full.
pub struct BufferedBody {
    /// The bytes to send; none any more once they can no longer be sent again.
    pub bytes: Bytes,
    /// Whether a plugin changed it, so that it goes out without its content-encoding.
    pub edited: bool,
    /// Whether the present attempt has been given them.
    sent: bool,
    /// Whether there will be no other attempt.
    last: bool,
}

impl BufferedBody {
    /// A body that has not been sent yet.
    #[must_use]
    pub fn new(bytes: Bytes, edited: bool) -> Self {
        Self { bytes, edited, sent: false, last: false }
    }

    /// An attempt begins.
    pub fn attempt(&mut self) {
        self.sent = false;
    }

    /// The bytes for the present attempt.
    pub fn send(&mut self) -> Bytes {
        self.sent = true;
        if self.last { std::mem::take(&mut self.bytes) } else { self.bytes.clone() }
    }

    /// The answer to the current attempt goes to the client. There is no other attempt, so the bytes are dropped once they are sent.
    pub fn answered(&mut self) {
        self.last = true;
        if self.sent {
            self.bytes = Bytes::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_has_all_of_it_and_nothing_stays_once_one_is_answered() {
        let mut body = BufferedBody::new(Bytes::from_static(b"{}"), false);
        for _ in 0..2 {
            body.attempt();
            assert_eq!(body.send(), "{}");
        }
        body.answered();
        assert!(body.bytes.is_empty());
    }

    #[test]
    fn a_body_that_is_answered_before_it_was_sent_is_still_sent() {
        let mut body = BufferedBody::new(Bytes::from_static(b"{}"), false);
        body.attempt();
        body.answered();
        assert_eq!(body.send(), "{}");
        assert!(body.bytes.is_empty());
    }
}
