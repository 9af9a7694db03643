//! The store of a folder: who has its log, and which calls it takes. Every change goes through here, into the log first.

mod clients;
mod inner;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use plugin_api::{Common, Uuid};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::call::{Call, Key, Millis};
use crate::entry::{Entry, Fact, Failure};
use crate::log_file::{LogFile, NewLog};
use crate::plan::Times;
use crate::provider::Uploads;
use crate::state::{Answer, Stage, State};
use crate::waiting::Waiting;

use inner::log_disk;
pub(crate) use inner::{Inner, failed};

/// A log is written anew where it is this many times as long as what it says, and not short.
const SURPLUS: u64 = if cfg!(test) { 1 } else { 2 };
const SHORT: u64 = if cfg!(test) { 1 << 10 } else { 4 << 20 };
/// How long a call waits for the log to be opened.
pub(crate) const OPEN: Duration = Duration::from_secs(5);

/// The calls of one folder.
pub(crate) struct Store {
    pub(crate) folder: PathBuf,
    inner: Mutex<Inner>,
    /// The thread that works on it, of which there is one at a time.
    alone: Mutex<()>,
    /// Something changed: there may be work.
    pub(crate) wake: Notify,
    /// Whether the log is this process's, is still to be opened, or has gone to another process.
    ownership: watch::Sender<Ownership>,
    /// Results are read by one at a time: they may be long.
    pub(crate) reading: Semaphore,
    pub(crate) uploads: Uploads,
    /// How many entries are on the disk for good, and whether the last attempt to bring them there succeeded.
    synced: watch::Sender<(u64, bool)>,
}

/// The settings of a store, which are those of the configuration in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) times: Times,
    /// The first pause between two looks at a batch, in milliseconds.
    pub(crate) poll: Millis,
    /// How long the provider may take to list a batch.
    pub(crate) settle: Millis,
    pub(crate) max_stored: u64,
}

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    /// It is to be opened.
    Awaited,
    Own,
    /// Another process has it, or nobody.
    Given,
}

/// What a fetch finds.
pub(crate) enum Fetched {
    /// No call of this caller.
    Nothing,
    UnderWay,
    Answer(Arc<Answer>),
}

impl Store {
    pub(crate) fn new(folder: PathBuf, terms: Terms, common: Arc<Common>) -> Arc<Self> {
        let inner = Inner::new(terms, common);
        let (inner, alone, wake) = (Mutex::new(inner), Mutex::default(), Notify::new());
        let (ownership, synced) = (watch::Sender::new(Ownership::Awaited), watch::Sender::new((0, true)));
        let (reading, uploads) = (Semaphore::new(1), Uploads::default());
        Arc::new(Self { folder, inner, alone, wake, ownership, reading, uploads, synced })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread works on it.
    pub(crate) fn alone(&self) -> MutexGuard<'_, ()> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_terms(&self, terms: Terms) {
        self.lock().terms = terms;
        self.wake.notify_one();
    }

    /// The log is this process's now, with what was found in it. Clients that waited meanwhile still do.
    pub(crate) fn opened(&self, log: LogFile, entries: Vec<Entry>) {
        let mut inner = self.lock();
        inner.state = State::replay(entries);
        inner.log = Some(log);
        // what the disk did not take when the log was this process's before
        for entry in std::mem::take(&mut inner.unsaved) {
            inner.note(entry);
        }
        let waiting: Vec<(Uuid, usize)> = inner.clients.iter().map(|(id, clients)| (*id, clients.len())).collect();
        for (id, clients) in waiting {
            inner.state.change(id, |held| held.clients = u32::try_from(clients).unwrap_or(u32::MAX));
            inner.tell(id);
        }
        inner.holds.clear();
        for id in inner.state.calls.keys().copied().collect::<Vec<_>>() {
            inner.hold(id);
        }
        inner.restoring = None;
        self.ownership.send_replace(Ownership::Own);
    }

    /// The log is to be opened.
    pub(crate) fn opens(&self) {
        let mut inner = self.lock();
        inner.restoring = Some(inner.common.budget_use.restoring());
        self.ownership.send_replace(Ownership::Awaited);
    }

    /// The log is not open in time: budgets let calls wait no longer.
    pub(crate) fn end_restoring(&self) {
        self.lock().restoring = None;
    }

    /// The log goes to another process, and this one lives on: answers that are on their way to clients are this one's to book.
    pub(crate) fn gives(&self) {
        self.lock().gives = true;
    }

    /// Whether everything is in the log, so that another process finds it there.
    pub(crate) fn is_saved(&self) -> bool {
        self.lock().unsaved.is_empty()
    }

    /// Lets go of the log.
    pub(crate) fn closed(&self) {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.gives) {
            inner.promise();
        }
        inner.save();
        (inner.log, inner.restoring) = (None, None);
        self.ownership.send_replace(Ownership::Given);
        // who waits for the disk need not
        self.synced.send_modify(|synced| *synced = (inner.appended, true));
    }

    /// Takes a call, or joins the one that is the same, and waits until that is certain. Its client may leave while this waits: `taken`
    /// is called before, with the client that waits from then on.
    ///
    /// # Errors
    /// The store is full or has no log, or the disk does not take the call before the deadline.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        call: Call,
        body: Bytes,
        deadline: Instant,
        taken: impl FnOnce(&mut Waiting),
    ) -> Result<Waiting, Failure> {
        // a process that begins has the log in a moment
        let mut ownership = self.ownership.subscribe();
        let open_by = deadline.min(Instant::now() + OPEN);
        drop(timeout_at(open_by, ownership.wait_for(|whose| *whose != Ownership::Awaited)).await);
        let (mut waiting, serial) = {
            let mut inner = self.lock();
            if inner.log.is_none() {
                return Err(Failure::NotStored);
            }
            let same = inner.state.same(call.owner, call.digest);
            let id = match same {
                Some(id) => {
                    inner.state.change(id, |held| held.wait_until = held.wait_until.max(call.wait_until));
                    id
                }
                None => {
                    let room = inner.state.bytes() + call.room() + body.len() as u64 <= inner.terms.max_stored;
                    if !room || !inner.unsaved.is_empty() {
                        // there may be room on the disk again
                        self.wake.notify_one();
                        return Err(Failure::NotStored);
                    }
                    let id = call.id;
                    let entry = Entry { fact: Fact::Call(Box::new(call)), body };
                    if !inner.record(&entry) {
                        return Err(Failure::NotStored);
                    }
                    id
                }
            };
            (inner.wait_for(self, id, same.is_none()), inner.appended)
        };
        taken(&mut waiting);
        self.wake.notify_one();
        let mut synced = self.synced.subscribe();
        let is_certain = match timeout_at(deadline, synced.wait_for(|(up_to, _)| *up_to >= serial)).await {
            Ok(Ok(at)) => at.1,
            Ok(Err(_)) | Err(_) => false,
        };
        if is_certain {
            return Ok(waiting);
        }
        // it goes elsewhere, and must not be submitted, too
        waiting.gives_up();
        Err(Failure::NotStored)
    }

    /// What became of a call of this owner.
    pub(crate) fn fetch(&self, id: Uuid, owner: Key) -> Fetched {
        let inner = self.lock();
        match inner.state.owned(id, owner).map(|held| &held.stage) {
            // what is in the log is not known here
            None if !inner.is_open() => Fetched::UnderWay,
            None => Fetched::Nothing,
            Some(Stage::Collecting | Stage::In(_)) => Fetched::UnderWay,
            Some(Stage::Answered(answer)) => Fetched::Answer(answer.clone()),
        }
    }

    /// Brings what was appended to the disk, and says whether it is there. Blocks for as long as the disk takes.
    pub(crate) fn sync(&self) -> bool {
        let (file, serial) = {
            let inner = self.lock();
            let last = *self.synced.borrow();
            if last == (inner.appended, true) {
                return true;
            }
            (inner.log.as_ref().map(LogFile::file), inner.appended)
        };
        let synced = file.map_or(Ok(()), |file| file.sync_data());
        if let Err(error) = &synced {
            log_disk(&self.folder, error);
        }
        let is_synced = synced.is_ok();
        self.synced.send_modify(|last| *last = (serial, is_synced));
        is_synced
    }

    /// Whether all that came of a submission is on the disk.
    pub(crate) fn is_over(&self, submission: Uuid) -> bool {
        let is_written = {
            let mut inner = self.lock();
            !inner.state.submissions.contains_key(&submission) && inner.save()
        };
        is_written && self.sync()
    }

    /// Writes the log anew where most of it is history. Nobody waits for that: what is appended meanwhile is added at the end. Whether
    /// the disk allows it.
    pub(crate) fn tidy(&self) -> bool {
        let entries = {
            let mut inner = self.lock();
            let most = (inner.state.bytes() * SURPLUS).max(SHORT);
            if inner.log.as_ref().is_none_or(|log| log.len() <= most) || !inner.unsaved.is_empty() {
                return true;
            }
            inner.since_snapshot = Some(Vec::new());
            inner.state.snapshot()
        };
        let written = NewLog::write(&self.folder, entries);
        let replaced = {
            let mut inner = self.lock();
            let since = inner.since_snapshot.take().unwrap_or_default();
            let Some(log) = &mut inner.log else { return true };
            written.and_then(|new| log.replace(new, &since))
        };
        // `sync`, on this thread too, tells nobody of the entries since before that, and brings them to the disk
        let in_place = replaced.and_then(|()| File::open(&self.folder)?.sync_all());
        if let Err(error) = &in_place {
            log_disk(&self.folder, error);
        }
        in_place.is_ok()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}
