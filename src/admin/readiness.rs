//! The readiness of the gateway: starting, ready or draining.

use tokio::sync::watch;

/// Whether the gateway wants new requests. It begins with starting.
#[derive(Debug, Default)]
pub struct Readiness(watch::Sender<State>);

/// The states between start and stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Starting,
    Ready,
    Draining,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

impl Readiness {
    /// Makes a starting gateway ready. One that drains already stays so.
    pub fn set_ready(&self) {
        self.0.send_if_modified(|state| {
            *state == State::Starting && {
                *state = State::Ready;
                true
            }
        });
    }

    /// The gateway stops, and running requests may end.
    pub fn set_draining(&self) {
        self.0.send_replace(State::Draining);
    }

    pub(super) fn state(&self) -> State {
        *self.0.borrow()
    }

    /// Returns once the gateway drains.
    pub(super) async fn draining(&self) {
        // cannot fail: the sender is borrowed here
        let _ = self.0.subscribe().wait_for(|state| *state == State::Draining).await;
    }
}
