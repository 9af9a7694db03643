//! Whether the client of a call that goes on without it is still there, and what it has received. Its connection, which hides from Pingora that
//! the client has left, writes it; the exchange reads it.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use http::StatusCode;

use super::ending::Relayed;

/// The state that a connection and its exchange share. Both run on one thread.
#[derive(Debug, Default)]
pub struct Presence {
    /// The client has left, or was let go.
    left: AtomicBool,
    /// The exchange has seen that, and what is counted since never reached the client.
    is_settled: AtomicBool,
    /// Bytes that the connection has accepted for the client, but not sent.
    unsent: AtomicU64,
    /// All bytes that the connection has accepted for the client are sent.
    is_flushed: AtomicBool,
    /// The status that was written to the client; 0 while none was.
    status: AtomicU16,
    /// Bytes of the body that were sent to the client.
    bytes: AtomicU64,
    /// All that the call's server has to say is known: from now on only the client is waited for.
    is_ending: AtomicBool,
}

impl Presence {
    /// The client has left, or is let go.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// So many bytes that were accepted for the client do not reach it.
    pub fn withhold(&self, bytes: usize) {
        if !self.is_settled.load(Ordering::Relaxed) {
            self.unsent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Sets whether all bytes that the connection has accepted for the client are sent.
    pub fn set_flushed(&self, is_flushed: bool) {
        self.is_flushed.store(is_flushed, Ordering::Relaxed);
    }

    /// Sets how much of the body has been written to the connection so far. Bytes written behind the first of these calls that finds the client
    /// gone are not counted.
    pub fn set_written(&self, status: Option<StatusCode>, bytes: u64) {
        if self.is_settled.load(Ordering::Relaxed) {
            return;
        }
        if self.has_left() {
            // unsent bytes may frame the body, whose bytes that were flushed stay counted
            let sent = bytes.saturating_sub(self.unsent.load(Ordering::Relaxed));
            self.bytes.fetch_max(sent, Ordering::Relaxed);
        } else if self.is_flushed.load(Ordering::Relaxed) {
            self.bytes.store(bytes, Ordering::Relaxed);
        }
        self.status.store(status.map_or(0, |status| status.as_u16()), Ordering::Relaxed);
        self.is_settled.store(self.has_left(), Ordering::Relaxed);
    }

    /// The status that a client that has left had received; `None` inside where it had none.
    #[must_use]
    pub fn status(&self) -> Option<Option<StatusCode>> {
        self.has_left().then(|| StatusCode::from_u16(self.status.load(Ordering::Relaxed)).ok())
    }

    /// What a client that has left had received of the body. Its response was complete with `complete` bytes, if that is known.
    #[must_use]
    pub fn received(&self, complete: Option<u64>) -> Option<Relayed> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let left = complete.is_none_or(|complete| bytes < complete);
        self.has_left().then_some(Relayed { bytes, left })
    }

    /// The last of the response is about to be written.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Whether the last of the response has been written, or is about to be.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_a_client_that_has_left_is_not_counted() {
        let presence = Presence::default();
        presence.set_written(None, 0);
        presence.set_written(Some(StatusCode::OK), 10);
        assert_eq!((presence.status(), presence.received(None)), (None, None));
        presence.leave();
        presence.set_written(Some(StatusCode::OK), 20);
        presence.withhold(30);
        presence.set_written(Some(StatusCode::OK), 50);
        assert_eq!(presence.status(), Some(Some(StatusCode::OK)));
        assert_eq!(presence.received(None), Some(Relayed { bytes: 20, left: true }));
        assert_eq!(presence.received(Some(20)), Some(Relayed { bytes: 20, left: false }));
    }

    #[test]
    fn what_was_flushed_stays_counted_if_the_end_behind_it_is_not_sent() {
        let presence = Presence::default();
        presence.set_flushed(true);
        presence.set_written(Some(StatusCode::OK), 20);
        presence.set_flushed(false);
        presence.leave();
        presence.withhold("0\r\n\r\n".len());
        presence.set_written(Some(StatusCode::OK), 20);
        assert_eq!(presence.received(Some(20)), Some(Relayed { bytes: 20, left: false }));
    }

    #[test]
    fn what_a_write_that_failed_did_not_send_is_not_counted() {
        let presence = Presence::default();
        presence.leave();
        presence.withhold(30);
        presence.set_written(Some(StatusCode::OK), 50);
        assert_eq!(presence.received(None), Some(Relayed { bytes: 20, left: true }));
    }
}
