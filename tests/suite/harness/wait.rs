//! Waiting: for a condition or a future, up to a deadline, and never longer than it takes.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes that is not broken, also on a machine that is busy with other things.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(3);

/// Waits until `holds` does.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    found(what, async move || holds().await.then_some(()))
}

/// Waits until `look` finds something.
#[track_caller]
pub fn found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < end, "waited {DEADLINE:?} in vain at {caller}: {what}");
            sleep(LOOK).await;
        }
    }
}

/// Waits for a future that is soon ready.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move { timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain at {caller}")) }
}
