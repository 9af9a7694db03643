//! What happens to leases, for whoever counts it.

use std::fmt;

/// What happens to leases, for who counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// A draw was granted.
    Granted,
    /// There is not so much left.
    Exhausted,
    /// A draw was not answered: the word for why.
    Unanswered(&'static str),
    /// Whether Redis is left out because it fails, told from time to time.
    Failing(bool),
}

/// Who counts what happens.
pub(super) struct Listener(pub(super) Box<dyn Fn(LeaseEvent) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
