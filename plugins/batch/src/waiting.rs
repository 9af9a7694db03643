//! A client that waits for the answer of a call. Dropping it says that the client waits no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plugin_api::Uuid;
use tokio::sync::oneshot;

use crate::call::Millis;
use crate::entry::Fact;
use crate::state::{Answer, Stage};
use crate::store::Store;

/// A client that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    store: Arc<Store>,
    id: Uuid,
    number: u64,
    answer: oneshot::Receiver<Arc<Answer>>,
    /// Whether its request is the one that brought the call, and is counted for it if it leaves.
    is_first: bool,
    /// Whether nobody wants the answer once no client is left.
    wants_nothing: bool,
}

impl Waiting {
    pub(crate) fn new(
        store: Arc<Store>,
        id: Uuid,
        number: u64,
        answer: oneshot::Receiver<Arc<Answer>>,
        is_first: bool,
    ) -> Self {
        Self { store, id, number, answer, is_first, wants_nothing: false }
    }

    /// Whether its request is the one that brought the call, and has not joined it.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether limits have counted the call with an earlier request, which it outlived.
    pub(crate) fn is_counted(&self) -> bool {
        let inner = self.store.lock();
        !self.is_first && inner.state.calls.get(&self.id).is_some_and(|held| held.is_left || held.is_deferred)
    }

    /// The call, which may be that of an earlier request.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Whether the call goes on though this client has waited as long as it wants, until then: a batch has it, or another waits longer.
    pub(crate) fn goes_on(&self, until: Millis) -> bool {
        let inner = self.store.lock();
        let held = inner.state.calls.get(&self.id);
        held.is_some_and(|held| held.stage != Stage::Collecting || held.wait_until > until)
    }

    /// What came of the call; `None` if nobody will ever know here.
    pub(crate) async fn answer(&mut self) -> Option<Arc<Answer>> {
        (&mut self.answer).await.ok()
    }

    /// Whether its client's leaving, from now on, means that the answer is unwanted.
    pub(crate) fn leaves_nothing_behind(&mut self, wants_nothing: bool) {
        self.wants_nothing = wants_nothing;
    }

    /// Its request goes on without the call, which no limit has counted with it.
    pub(crate) fn gives_up(&mut self) {
        (self.is_first, self.wants_nothing) = (false, true);
    }

    /// The client is told to come back: the call stays.
    pub(crate) fn defer(&self) {
        self.store.lock().note(Fact::Deferred(self.id));
        self.store.wake.notify_one();
    }

    /// The answer is on its way to this client. `shows_usage` is whether its row can have the usage.
    pub(crate) fn delivery(&self, shows_usage: bool) -> Delivery {
        let claim = if shows_usage { self.claim() } else { None };
        Delivery { store: self.store.clone(), id: self.id, claim }
    }

    /// Takes it upon this client's row to have the usage of the answer, unless that is in the ledger or on its way there.
    pub(crate) fn claim(&self) -> Option<Claim> {
        let mut inner = self.store.lock();
        if !inner.is_open() {
            return None;
        }
        let held = inner.state.calls.get_mut(&self.id)?;
        if held.is_booked || std::mem::replace(&mut held.is_claimed, true) {
            return None;
        }
        Some(Claim { store: self.store.clone(), id: self.id, is_booked: AtomicBool::new(false) })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.store.lock().leave(self.id, self.number, self.is_first, self.wants_nothing);
        self.store.wake.notify_one();
    }
}

/// An answer on its way to a client.
#[derive(Debug)]
pub(crate) struct Delivery {
    store: Arc<Store>,
    id: Uuid,
    /// The promise that this client's row has the usage of the answer.
    pub(crate) claim: Option<Claim>,
}

impl Delivery {
    /// The client has its whole answer: nobody will come for it.
    pub(crate) fn done(&self) {
        let mut inner = self.store.lock();
        if inner.state.deliver(self.id) {
            inner.note(Fact::Gone(self.id));
        }
        self.store.wake.notify_one();
    }
}

/// A promise that the usage of an answer will be in a client's row. Dropping it unkept gives it back.
#[derive(Debug)]
pub(crate) struct Claim {
    store: Arc<Store>,
    id: Uuid,
    is_booked: AtomicBool,
}

impl Claim {
    /// The row is in the journal.
    pub(crate) fn keep(&self) {
        if !self.is_booked.swap(true, Ordering::AcqRel) {
            self.store.lock().note(Fact::Booked(self.id));
            self.store.wake.notify_one();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_booked.load(Ordering::Acquire) {
            self.store.lock().unclaim(self.id);
            self.store.wake.notify_one();
        }
    }
}
