//! A call whose answer is wanted by others than its own client.

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

/// Keeps a call going after its client has left, until nobody else wants its answer.
///
/// Once the client has left, the gateway ends the call when this is over, at the latest at the exchange's own deadline.
/// A client that takes its answer too slowly is let go, as if it had left, once others [wait](Outlive::shared_once).
pub struct Outlive {
    over: Mutex<Awaited>,
    shared: Mutex<Awaited>,
}

type Awaited = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Outlive {
    /// As long as this is not over, somebody wants the answer.
    #[must_use]
    pub fn until(nobody_wants_it: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { over: Mutex::new(Box::pin(nobody_wants_it)), shared: Mutex::new(Box::pin(pending())) }
    }

    /// Once this is over, others wait for the answer, whom the call's own client must not hold up. The gateway asks where
    /// that client has fallen far behind.
    #[must_use]
    pub fn shared_once(self, others_wait: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { shared: Mutex::new(Box::pin(others_wait)), ..self }
    }

    /// The future that is over when nobody wants the answer any more, and the one that is over when others wait for it.
    #[must_use]
    pub fn into_futures(self) -> (Awaited, Awaited) {
        let inner = |mutex: Mutex<Awaited>| mutex.into_inner().unwrap_or_else(PoisonError::into_inner);
        (inner(self.over), inner(self.shared))
    }
}

impl fmt::Debug for Outlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlive")
    }
}
