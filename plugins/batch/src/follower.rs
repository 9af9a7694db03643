//! Tells the clients of a process that has given its store away what the other process finds out, and books what their rows were to
//! have and have not. Writes no log.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::ledger::Ledgers;
use crate::log_file::{self, LOG};
use crate::state::{Stage, State};
use crate::store::Store;

/// How often the other process's log is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A thread that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    _alive: Sender<()>,
}

impl Follower {
    /// Starts to follow.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn start(store: Arc<Store>, ledgers: Ledgers) -> Result<Self, String> {
        let (alive, ended) = channel();
        let work = move || follow(&store, &ledgers, &ended);
        thread::Builder::new()
            .name("batch".to_owned())
            .spawn(work)
            .map_err(|error| format!("no thread for batches: {error}"))?;
        Ok(Self { _alive: alive })
    }
}

fn follow(store: &Store, ledgers: &Ledgers, ended: &Receiver<()>) {
    let mut last = None;
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        ledgers.book_unbooked(store);
        let awaited = store.lock().awaited();
        let now = fs::metadata(store.folder.join(LOG)).ok().map(|found| (found.len(), found.modified().ok()));
        if awaited.is_empty() || now == last {
            continue;
        }
        let Ok(entries) = log_file::read_other(&store.folder) else { continue };
        last = now;
        let state = State::replay(entries);
        for id in awaited {
            match state.calls.get(&id).map(|held| &held.stage) {
                Some(Stage::Answered(answer)) => store.lock().tell_from(id, answer),
                Some(Stage::Collecting | Stage::In(_)) => {}
                None => store.lock().forsake(id),
            }
        }
    }
}
