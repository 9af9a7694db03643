//! The store of a folder: its state, its log, and the clients that wait. Every change goes through here, into the log first.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use plugin_api::{Common, HeldCost, LogLimit, Uuid, shortened};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::call::{Call, Group, Key, Millis};
use crate::entry::{Entry, Fact, Failure, Outcome};
use crate::log_file::{LogFile, NewLog};
use crate::plan::Times;
use crate::provider::Uploads;
use crate::state::{Answer, Stage, State};
use crate::waiting::Waiting;

/// A log is written anew where it is this many times as long as what it says, and not short.
const SURPLUS: u64 = if cfg!(test) { 1 } else { 2 };
const SHORT: u64 = if cfg!(test) { 1 << 10 } else { 4 << 20 };
/// The most bytes of the words for why a call has no answer.
const LONGEST_WORDS: usize = 1024;
/// How long a call waits for the log to be opened.
const OPEN: Duration = Duration::from_secs(5);

/// The calls of one folder.
pub(crate) struct Store {
    pub(crate) folder: PathBuf,
    inner: Mutex<Inner>,
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

/// What the lock of a store protects.
pub(crate) struct Inner {
    pub(crate) state: State,
    /// None while another process has it, or it is not open yet.
    log: Option<LogFile>,
    /// Entries that were appended, by all logs of this store.
    appended: u64,
    /// What the disk did not take: it is in force, and goes to the log once the disk allows it.
    unsaved: VecDeque<Entry>,
    /// What was appended while the log is written anew.
    since_snapshot: Option<Vec<Entry>>,
    clients: HashMap<Uuid, Vec<Client>>,
    next_client: u64,
    /// Groups whose provider asked for patience.
    pub(crate) paused: BTreeMap<Group, Millis>,
    /// How many batches of a group were refused since one was taken.
    pub(crate) refusals: HashMap<Group, u32>,
    pub(crate) terms: Terms,
    /// Whether the log is about to go to another process.
    gives: bool,
    /// Answers that the log calls booked, and whose clients' rows do not have the usage after all.
    pub(crate) unbooked: Vec<Uuid>,
    /// What budgets hold for calls that no client waits for.
    holds: HashMap<Uuid, Box<dyn HeldCost>>,
    common: Arc<Common>,
}

/// A client that waits, by its number.
type Client = (u64, oneshot::Sender<Arc<Answer>>);

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

static DISK: LogLimit = LogLimit::new();

impl Store {
    pub(crate) fn new(folder: PathBuf, terms: Terms, common: Arc<Common>) -> Arc<Self> {
        let inner = Inner {
            state: State::default(),
            log: None,
            appended: 0,
            unsaved: VecDeque::new(),
            since_snapshot: None,
            clients: HashMap::new(),
            next_client: 0,
            paused: BTreeMap::new(),
            refusals: HashMap::new(),
            terms,
            gives: false,
            unbooked: Vec::new(),
            holds: HashMap::new(),
            common,
        };
        let (inner, wake) = (Mutex::new(inner), Notify::new());
        let (ownership, synced) = (watch::Sender::new(Ownership::Awaited), watch::Sender::new((0, true)));
        let (reading, uploads) = (Semaphore::new(1), Uploads::default());
        Arc::new(Self { folder, inner, wake, ownership, reading, uploads, synced })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        let waiting: Vec<(Uuid, usize)> = inner.clients.iter().map(|(id, clients)| (*id, clients.len())).collect();
        for (id, clients) in waiting {
            inner.state.change(id, |held| held.clients = u32::try_from(clients).unwrap_or(u32::MAX));
            inner.tell(id);
        }
        inner.holds.clear();
        for id in inner.state.calls.keys().copied().collect::<Vec<_>>() {
            inner.hold(id);
        }
        self.ownership.send_replace(Ownership::Own);
    }

    /// The log is to be opened.
    pub(crate) fn opens(&self) {
        self.ownership.send_replace(Ownership::Awaited);
    }

    /// The log goes to another process, and this one lives on: answers that are on their way to clients are this one's to book.
    pub(crate) fn gives(&self) {
        self.lock().gives = true;
    }

    /// Lets go of the log.
    pub(crate) fn closed(&self) {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.gives) {
            inner.promise();
        }
        inner.log = None;
        self.ownership.send_replace(Ownership::Given);
        // who waits for the disk need not
        self.synced.send_modify(|synced| *synced = (inner.appended, true));
    }

    /// Takes a call, or joins the one that is the same, and waits until that is certain.
    ///
    /// # Errors
    /// The store is full or has no log, or the disk does not take the call before the deadline.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        call: Call,
        body: Bytes,
        deadline: Instant,
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
                    inner.record(&entry).map_err(|error| {
                        log_disk(&self.folder, &error);
                        Failure::NotStored
                    })?;
                    id
                }
            };
            (inner.wait_for(self, id, same.is_none()), inner.appended)
        };
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
        waiting.leaves_nothing_behind(true);
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

    /// Writes the log anew where most of it is history. Nobody waits for that: what is appended meanwhile is added at the end.
    pub(crate) fn tidy(&self) {
        let entries = {
            let mut inner = self.lock();
            let most = (inner.state.bytes() * SURPLUS).max(SHORT);
            if inner.log.as_ref().is_none_or(|log| log.len() <= most) || !inner.unsaved.is_empty() {
                return;
            }
            inner.since_snapshot = Some(Vec::new());
            inner.state.snapshot()
        };
        let written = NewLog::write(&self.folder, entries);
        let replaced = {
            let mut inner = self.lock();
            let since = inner.since_snapshot.take().unwrap_or_default();
            let Some(log) = &mut inner.log else { return };
            written.and_then(|new| log.replace(new, &since))
        };
        // `sync`, on this thread too, tells nobody of the entries since before that, and brings them to the disk
        if let Err(error) = replaced.and_then(|()| File::open(&self.folder)?.sync_all()) {
            log_disk(&self.folder, &error);
        }
    }
}

impl Inner {
    /// Records a fact. It is not in force where the disk does not take it.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn record(&mut self, entry: &Entry) -> io::Result<()> {
        if !self.unsaved.is_empty() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "earlier entries are not on the disk yet"));
        }
        let log = self.log.as_mut().ok_or_else(|| io::Error::other("the log is another process's"))?;
        log.append(entry)?;
        self.appended(entry);
        self.apply(entry);
        Ok(())
    }

    /// Records a fact that is one whatever the disk says. Without a log it is another process's to find out.
    pub(crate) fn note(&mut self, entry: impl Into<Entry>) {
        let entry = entry.into();
        let Some(log) = &mut self.log else { return };
        if self.unsaved.is_empty() {
            match log.append(&entry) {
                Ok(()) => self.appended(&entry),
                Err(error) => {
                    log_disk(log.folder(), &error);
                    self.unsaved.push_back(entry.clone());
                }
            }
        } else {
            self.unsaved.push_back(entry.clone());
        }
        self.apply(&entry);
    }

    /// Writes what the disk did not take before. Whether all is written.
    pub(crate) fn save(&mut self) -> bool {
        while let (Some(log), Some(entry)) = (&mut self.log, self.unsaved.front()) {
            if let Err(error) = log.append(entry) {
                log_disk(log.folder(), &error);
                return false;
            }
            let saved = self.unsaved.pop_front();
            saved.iter().for_each(|entry| self.appended(entry));
        }
        true
    }

    fn appended(&mut self, entry: &Entry) {
        self.appended += 1;
        if let Some(since) = &mut self.since_snapshot {
            since.push(entry.clone());
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.log.is_some()
    }

    /// The calls for which clients wait.
    pub(crate) fn awaited(&self) -> Vec<Uuid> {
        self.clients.keys().copied().collect()
    }

    /// Tells the clients of a call what another process found out.
    pub(crate) fn tell_from(&mut self, id: Uuid, found: &Arc<Answer>) {
        for (_, client) in self.clients.remove(&id).unwrap_or_default() {
            let _gone = client.send(found.clone());
        }
    }

    /// Nobody will know what becomes of a call: its clients wait no more.
    pub(crate) fn forsake(&mut self, id: Uuid) {
        self.clients.remove(&id);
    }

    fn wait_for(&mut self, store: &Arc<Store>, id: Uuid, is_first: bool) -> Waiting {
        let (sender, answer) = oneshot::channel();
        let number = self.next_client;
        self.next_client += 1;
        self.clients.entry(id).or_default().push((number, sender));
        self.state.change(id, |held| {
            held.clients += 1;
            held.is_unwanted = false;
        });
        self.tell(id);
        Waiting::new(store.clone(), id, number, answer, is_first)
    }

    /// A client has gone, or waits no more.
    pub(crate) fn leave(&mut self, id: Uuid, client: u64, is_first: bool, wants_nothing: bool) {
        if let Some(clients) = self.clients.get_mut(&id) {
            clients.retain(|(number, _)| *number != client);
            if clients.is_empty() {
                self.clients.remove(&id);
            }
        }
        self.state.change(id, |held| {
            held.clients = held.clients.saturating_sub(1);
            held.is_left |= is_first && !matches!(held.stage, Stage::Answered(_));
            held.is_unwanted |= wants_nothing && held.clients == 0 && !held.is_deferred;
        });
        self.hold(id);
    }

    /// A client that was to have the usage of an answer in its row has it not.
    pub(crate) fn unclaim(&mut self, id: Uuid) {
        self.state.change(id, |held| held.is_claimed = false);
        if self.state.calls.get(&id).is_some_and(|held| held.is_booked) {
            // the log went to another process with the promise that it would
            self.unbooked.push(id);
        }
        self.hold(id);
    }

    /// What is on its way to clients is booked, for the process that has the log next.
    fn promise(&mut self) {
        let claimed = self.state.calls.values().filter(|held| held.is_claimed && !held.is_booked);
        for id in claimed.map(|held| held.call.id).collect::<Vec<_>>() {
            self.note(Fact::Booked(id));
        }
    }

    /// Has budgets hold what a call may cost that goes on without a client, whose request no longer does.
    fn hold(&mut self, id: Uuid) {
        let held = self.state.calls.get(&id).filter(|held| held.is_to_be_billed() && !self.holds.contains_key(&id));
        let cost = held.and_then(|held| held.call.cost.as_ref());
        if let Some(hold) = cost.and_then(|cost| self.common.budget_use.hold(cost)) {
            self.holds.insert(id, hold);
        }
    }

    fn apply(&mut self, entry: &Entry) {
        self.state.apply(entry);
        if let Fact::Answer { call, .. } = &entry.fact {
            self.tell(*call);
        }
        if let Fact::Booked(call) | Fact::Gone(call) | Fact::Answer { call, outcome: Outcome::Failed(_), .. } =
            &entry.fact
        {
            self.holds.remove(call);
        }
    }

    /// Tells the clients of a call what came of it, where that is known.
    fn tell(&mut self, id: Uuid) {
        let Some(held) = self.state.calls.get(&id) else { return };
        let Stage::Answered(answer) = &held.stage else { return };
        let answer = answer.clone();
        self.tell_from(id, &answer);
    }
}

/// An answer that is none, made where no batch could be. Each call of a batch has the words, so they are cut.
pub(crate) fn failed(call: Uuid, why: Failure, words: &str, batch: &str, at: Millis) -> Entry {
    let fact = Fact::Answer { call, batch: batch.to_owned(), outcome: Outcome::Failed(why), at };
    Entry { fact, body: Bytes::copy_from_slice(shortened(words, LONGEST_WORDS).as_bytes()) }
}

fn log_disk(folder: &std::path::Path, error: &io::Error) {
    if let Some(suppressed) = DISK.pass(()) {
        log::error!(error:%, folder:% = folder.display(), suppressed;
            "the store of calls that wait for batches cannot be written; new ones go by `otherwise` until there is space again");
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A store that is open, in a folder of its own.
#[cfg(test)]
pub(crate) fn opened(terms: Terms) -> (Arc<Store>, crate::world::Folder) {
    let folder = crate::world::Folder(std::env::temp_dir().join(format!("batch-store-{}", Uuid::now_v7())));
    let store = Store::new(folder.0.clone(), terms, Arc::default());
    let lock = crate::log_file::Lock::take(&folder.0).unwrap();
    let (log, entries) = LogFile::open(&folder.0, lock).unwrap();
    store.opened(log, entries);
    (store, folder)
}
