//! The consent of a plugin to let a call go on without its client, and the moment at which the gateway ends it.

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

/// Detaches a call from its client: if the client leaves, the call goes on until its answer is unwanted.
///
/// The gateway ends a detached call when the future given here completes, at the latest at the exchange's own deadline.
/// Needs [`Needs::detach`](crate::Needs::detach).
pub struct DetachUntil {
    unwanted: Mutex<Signal>,
    shared: Mutex<Signal>,
}

type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

impl DetachUntil {
    /// Detaches the call until this future completes: then the answer is unwanted.
    #[must_use]
    pub fn new(unwanted: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { unwanted: Mutex::new(Box::pin(unwanted)), shared: Mutex::new(Box::pin(pending())) }
    }

    /// Once this future completes, other clients share the answer. From then on the call's own client is disconnected when it
    /// falls so far behind that the upstream would have to wait for it.
    #[must_use]
    pub fn shared_when(self, others_wait: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { shared: Mutex::new(Box::pin(others_wait)), ..self }
    }

    /// The future that completes when the answer is unwanted, and the one that completes when others share it.
    #[must_use]
    pub fn into_futures(self) -> (Signal, Signal) {
        let inner = |mutex: Mutex<Signal>| mutex.into_inner().unwrap_or_else(PoisonError::into_inner);
        (inner(self.unwanted), inner(self.shared))
    }
}

impl fmt::Debug for DetachUntil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DetachUntil")
    }
}
