//! The permits that a connection holds while it is open.

use std::sync::{Mutex, PoisonError};

/// Permits, to be given back once: at the latest when they are dropped.
pub struct Permits(Mutex<Option<Box<dyn Send + Sync>>>);

impl Permits {
    /// These, which give themselves back when they are dropped.
    #[must_use]
    pub fn new(held: Box<dyn Send + Sync>) -> Self {
        Self(Mutex::new(Some(held)))
    }

    /// Gives them back.
    pub fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
