//! When a connection is closed because the gateway stops: as soon as no call is open, and before the drain timeout cuts it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pingora_core::server::ShutdownWatch;
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection must have been silent to count as idle, where its messages are not read.
const QUIET: Duration = Duration::from_secs(2);
/// How long before the drain timeout a connection is closed whatever it does; a tenth of it, if that is less.
const BEFORE_CUT: Duration = Duration::from_secs(5);

/// Waits for the gateway to stop.
pub struct Stop {
    stopping: Option<BoxFuture<'static, ()>>,
    drain_timeout: Duration,
    last: Option<Pin<Box<Sleep>>>,
    quiet: Option<Pin<Box<Sleep>>>,
}

impl Stop {
    /// Waits for this sign that the gateway stops.
    #[must_use]
    pub fn new(mut stopping: ShutdownWatch, drain_timeout: Duration) -> Self {
        let stopping = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
        Self { stopping: Some(stopping.boxed()), drain_timeout, last: None, quiet: None }
    }

    /// Whether the connection is to be closed now. `is_idle` says whether no call is open, where that is known; else it is as long
    /// as it has been silent.
    pub fn poll(&mut self, is_idle: Option<bool>, silent_since: Instant, cx: &mut Context<'_>) -> bool {
        if let Some(stopping) = &mut self.stopping {
            if stopping.poll_unpin(cx).is_pending() {
                return false;
            }
            self.stopping = None;
            self.last = Some(Box::pin(sleep(self.drain_timeout - BEFORE_CUT.min(self.drain_timeout / 10))));
        }
        if self.last.as_mut().is_some_and(|last| last.as_mut().poll(cx).is_ready()) {
            return true;
        }
        match is_idle {
            Some(is_idle) => is_idle,
            None => {
                let quiet = self.quiet.get_or_insert_with(|| Box::pin(sleep(QUIET)));
                quiet.as_mut().reset(silent_since + QUIET);
                matches!(quiet.as_mut().poll(cx), Poll::Ready(()))
            }
        }
    }
}
