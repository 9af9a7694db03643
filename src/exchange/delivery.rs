//! How much of the answer the client of a detached call has received. The request that relays the answer writes it; the call, which
//! makes the record, reads it. Relays nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use http::StatusCode;
use tokio::sync::watch;

use super::ending::Relayed;

/// The state that the relaying request and its call share.
#[derive(Debug)]
pub struct Delivery {
    stage: watch::Sender<Stage>,
    /// The status that was written to the client; 0 while none was.
    status: AtomicU16,
    /// Bytes of the body written to the client.
    bytes: AtomicU64,
    /// The bytes of the body with which the answer is complete; more than any while that is not known.
    complete: AtomicU64,
    /// The client left before it had a complete answer.
    left: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Relaying,
    /// The call has produced all that it will.
    CallOver,
    /// Nothing more goes to the client.
    Settled,
}

impl Delivery {
    /// Nothing has been delivered yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            stage: watch::Sender::new(Stage::Relaying),
            status: AtomicU16::new(0),
            bytes: AtomicU64::new(0),
            complete: AtomicU64::new(u64::MAX),
            left: AtomicBool::new(false),
        })
    }

    /// The answer is complete with so many bytes of its body.
    pub fn completes_with(&self, bytes: u64) {
        self.complete.store(bytes, Ordering::Relaxed);
    }

    /// Whether the client has a complete answer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.bytes() >= self.complete.load(Ordering::Relaxed)
    }

    /// Whether the client left before it had a complete answer.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// The status that the client has got.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.status.load(Ordering::Relaxed)).ok()
    }

    /// Bytes of the body that the client has got.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The bytes of the body that the client has received, and whether it left.
    #[must_use]
    pub fn relayed(&self) -> Relayed {
        Relayed { bytes: self.bytes(), left: self.has_left() }
    }

    /// Sets how much has been written to the client so far.
    pub fn set_written(&self, status: Option<StatusCode>, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.status.store(status.map_or(0, |status| status.as_u16()), Ordering::Relaxed);
    }

    /// The client left; `has_whole_body` says that it has as much of the body as was announced.
    pub fn client_left(&self, has_whole_body: bool) {
        self.left.store(!self.is_complete() && !has_whole_body, Ordering::Relaxed);
    }

    /// The call has produced all that it will, and may have been cut off. Returns once nothing more goes to the client.
    pub async fn settled(&self) {
        let mut stage = self.stage.subscribe();
        self.advance(Stage::CallOver);
        // the sender is this very object's
        let _ = stage.wait_for(|stage| *stage == Stage::Settled).await;
    }

    /// Returns once the call has produced all that it will.
    pub async fn call_over(&self) {
        let _ = self.stage.subscribe().wait_for(|stage| *stage >= Stage::CallOver).await;
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let later = to > *stage;
            *stage = (*stage).max(to);
            later
        });
    }
}

/// The relaying of one answer. Dropping it settles the delivery; one that is dropped halfway has lost its client.
pub struct Relaying<'a> {
    delivery: &'a Delivery,
    over: bool,
}

impl<'a> Relaying<'a> {
    /// The relaying begins.
    #[must_use]
    pub fn of(delivery: &'a Delivery) -> Self {
        Self { delivery, over: false }
    }

    /// It has come to an end of its own.
    pub fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Relaying<'_> {
    fn drop(&mut self) {
        if !self.over && !self.delivery.is_complete() {
            self.delivery.left.store(true, Ordering::Relaxed);
        }
        self.delivery.advance(Stage::Settled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_learns_what_its_client_had_only_once_nothing_more_goes_to_it() {
        for (over, bytes, left) in [(true, 0, false), (false, 9, true), (false, 10, false)] {
            let delivery = Delivery::new();
            delivery.completes_with(10);
            delivery.bytes.store(bytes, Ordering::Relaxed);
            let relaying = Relaying::of(&delivery);
            let call = tokio::spawn({
                let delivery = delivery.clone();
                async move { delivery.settled().await }
            });
            delivery.call_over().await;
            assert!(!call.is_finished());
            if over {
                relaying.over();
            } else {
                drop(relaying);
            }
            call.await.unwrap();
            assert_eq!(delivery.has_left(), left);
        }
    }
}
