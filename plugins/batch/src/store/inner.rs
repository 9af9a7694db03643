//! What the lock of a store protects: its state and its log. A fact goes into the log first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use plugin_api::{Common, HeldCost, LogLimit, Restoring, Uuid, shortened};
use tokio::sync::oneshot;

use super::Terms;
use crate::call::{Group, Millis};
use crate::entry::{Entry, Fact, Failure, Outcome};
use crate::log_file::LogFile;
use crate::state::{Answer, State};

/// The most bytes of the words for why a call has no answer.
const LONGEST_WORDS: usize = 1024;
static DISK: LogLimit = LogLimit::new();

/// What the lock of a store protects.
pub(crate) struct Inner {
    pub(crate) state: State,
    /// None while another process has it, or it is not open yet.
    pub(super) log: Option<LogFile>,
    /// Entries that were appended, by all logs of this store.
    pub(super) appended: u64,
    /// What the disk did not take: it is in force, and goes to the log once the disk allows it.
    pub(super) unsaved: VecDeque<Entry>,
    /// What was appended while the log is written anew.
    pub(super) since_snapshot: Option<Vec<Entry>>,
    pub(super) clients: HashMap<Uuid, Vec<Client>>,
    pub(super) next_client: u64,
    /// Groups whose provider asked for patience.
    pub(crate) paused: BTreeMap<Group, Millis>,
    /// How many batches of a group were refused since one was taken.
    pub(crate) refusals: HashMap<Group, u32>,
    pub(crate) terms: Terms,
    /// Whether the log is about to go to another process.
    pub(super) gives: bool,
    /// Answers that the log calls booked, and whose clients' rows do not have the usage after all.
    pub(crate) unbooked: Vec<Uuid>,
    /// What budgets hold for calls that no client waits for.
    pub(super) holds: HashMap<Uuid, Box<dyn HeldCost>>,
    /// Budgets let calls wait until the log is open, and what its calls may cost is held.
    pub(super) restoring: Option<Restoring>,
    pub(super) common: Arc<Common>,
}

/// A client that waits, by its number.
type Client = (u64, oneshot::Sender<Arc<Answer>>);

impl Inner {
    pub(super) fn new(terms: Terms, common: Arc<Common>) -> Self {
        Self {
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
            restoring: None,
            common,
        }
    }

    /// Records a fact, and says whether the disk takes it. It is not in force where it does not, nor where earlier ones are not there yet.
    pub(crate) fn record(&mut self, entry: &Entry) -> bool {
        let Some(log) = self.log.as_mut().filter(|_| self.unsaved.is_empty()) else { return false };
        if let Err(error) = log.append(entry) {
            log_disk(log.folder(), &error);
            return false;
        }
        self.appended(entry);
        self.apply(entry);
        true
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

    pub(super) fn appended(&mut self, entry: &Entry) {
        self.appended += 1;
        if let Some(since) = &mut self.since_snapshot {
            since.push(entry.clone());
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.log.is_some()
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
}

/// An answer that is none, made where no batch could be. Each call of a batch has the words, so they are cut.
pub(crate) fn failed(call: Uuid, why: Failure, words: &str, batch: &str, at: Millis) -> Entry {
    let fact = Fact::Answer { call, batch: batch.to_owned(), outcome: Outcome::Failed(why), at };
    Entry { fact, body: Bytes::copy_from_slice(shortened(words, LONGEST_WORDS).as_bytes()) }
}

pub(super) fn log_disk(folder: &std::path::Path, error: &io::Error) {
    if let Some(suppressed) = DISK.pass(()) {
        log::error!(error:%, folder:% = folder.display(), suppressed;
            "the store of calls that wait for batches cannot be written; new ones go by `otherwise` until there is space again");
    }
}
