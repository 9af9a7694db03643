//! A call whose answer is wanted by others than its own client.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

/// Keeps a call going after its client has left, until nobody else wants its answer.
///
/// The gateway asks only once the client has left. It then ends the call when this is over, at the latest at the
/// exchange's own deadline.
pub struct Outlive(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Outlive {
    /// As long as this is not over, somebody wants the answer.
    #[must_use]
    pub fn until(nobody_wants_it: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Mutex::new(Box::pin(nobody_wants_it)))
    }

    /// The future that is over when nobody wants the answer any more.
    #[must_use]
    pub fn into_future(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlive")
    }
}
