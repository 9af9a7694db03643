//! Files of calls that a provider has and that are in no batch yet: a batch that is tried again takes the one there is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_api::Uuid;

/// The most files that are remembered; a forgotten one stays with the provider.
const MOST: usize = 64;

/// Files that are in no batch yet. Not in the log: after a restart, files are uploaded again.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<Vec<Upload>>);

/// A file of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    /// The calls in it, in their order.
    pub(crate) calls: Vec<Uuid>,
    pub(crate) file: String,
    /// The upstream that has it.
    pub(crate) upstream: String,
}

impl Uploads {
    /// The file of these calls, if there is one, and those that have some of them and others, of which nobody has a use any more.
    pub(super) fn take(&self, calls: &[Uuid]) -> (Option<Upload>, Vec<Upload>) {
        let mut all = self.lock();
        let (some, others) =
            all.drain(..).partition(|upload: &Upload| calls.iter().any(|id| upload.calls.contains(id)));
        *all = others;
        let (mut same, stale): (Vec<_>, Vec<_>) = some.into_iter().partition(|upload: &Upload| upload.calls == calls);
        (same.pop(), stale)
    }

    /// Its batch was not made, and is tried again.
    pub(super) fn keep(&self, upload: Upload) {
        let mut all = self.lock();
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push(upload);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Upload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
