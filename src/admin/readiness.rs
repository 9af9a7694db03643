//! Whether the gateway wants new requests: not yet, now, or no longer.

use tokio::sync::watch;

/// Whether the gateway wants new requests. It begins as one that starts.
#[derive(Debug, Default)]
pub struct Readiness(watch::Sender<State>);

/// Where the gateway stands between start and stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Starting,
    Ready,
    Draining,
}

impl Readiness {
    /// The listeners accept, and the servers are known. A gateway that stops already stays as it is.
    pub fn set_ready(&self) {
        self.0.send_if_modified(|state| {
            *state == State::Starting && {
                *state = State::Ready;
                true
            }
        });
    }

    /// The gateway stops; what runs may end.
    pub fn set_draining(&self) {
        self.0.send_replace(State::Draining);
    }

    pub(super) fn state(&self) -> State {
        *self.0.borrow()
    }

    /// Returns once the gateway stops.
    pub(super) async fn draining(&self) {
        // cannot fail: the sender is borrowed here
        let _ = self.0.subscribe().wait_for(|state| *state == State::Draining).await;
    }
}
