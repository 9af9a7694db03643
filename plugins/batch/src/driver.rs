//! The thread of a store: it opens the log, does what the plan says, and brings entries to the disk. One process drives a store at a
//! time, the one that has its lock.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use plugin_api::LogLimit;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::call::{Millis, now};
use crate::entry::{Fact, Failure};
use crate::figures::Figures;
use crate::ledger::Ledgers;
use crate::log_file::{Lock, LogFile, OpenError};
use crate::plan::{self, Work};
use crate::provider::Link;
use crate::store::{OPEN, Store, failed};
use crate::task::{Question, Task};
use crate::turn::Turn;

/// How long another process may have the store before it is tried again.
const IN_USE: Duration = Duration::from_millis(200);
/// How long the disk is left alone where it does not open or take the log.
const DISK: Duration = Duration::from_secs(1);
/// How long submissions that are on their way may take when the store goes to another process.
const FINISH: Duration = Duration::from_secs(5);
/// How long a log that could not be written anew is left as it is.
const TIDY: Duration = Duration::from_secs(60);
/// The longest sleep where nothing is due.
const LONG: Millis = 3_600_000;

/// A running thread.
#[derive(Debug)]
pub(crate) struct Driver {
    stop: watch::Sender<bool>,
    ended: mpsc::Receiver<()>,
}

impl Driver {
    /// Starts the thread of a store.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn start(
        store: Arc<Store>,
        link: Arc<dyn Link>,
        ledgers: Ledgers,
        figures: Arc<Figures>,
        lock: Option<Lock>,
    ) -> Result<Self, String> {
        // before the first request
        store.opens();
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime for batches: {error}"))?;
        let work = move || {
            let _ended = end;
            // one that was told to stop may hang in the disk
            let _alone = store.alone();
            runtime.block_on(run(&store, &link, &ledgers, &figures, lock, stopped));
            store.closed();
        };
        thread::Builder::new()
            .name("batch".to_owned())
            .spawn(work)
            .map_err(|error| format!("no thread for batches: {error}"))?;
        Ok(Self { stop, ended })
    }

    /// Whether the thread was told to end, which it may not have done yet.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ends the thread, which lets go of the store; whether that happened in time.
    pub(crate) fn end(&self, within: Duration) -> bool {
        self.stop.send_replace(true);
        self.ended.recv_timeout(within) != Err(mpsc::RecvTimeoutError::Timeout)
    }
}

pub(crate) async fn run(
    store: &Arc<Store>,
    link: &Arc<dyn Link>,
    ledgers: &Ledgers,
    figures: &Arc<Figures>,
    lock: Option<Lock>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut opening = pin!(open(store, lock));
    let opened = tokio::select! {
        opened = &mut opening => Some(opened),
        () = sleep(OPEN) => None,
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    let opened = match opened {
        Some(opened) => opened,
        None => {
            store.end_restoring();
            tokio::select! {
                opened = opening => opened,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    };
    let (log, entries) = opened;
    store.opened(log, entries);
    let mut tasks = JoinSet::new();
    let (mut rested, mut tidied) = (Instant::now(), Instant::now());
    loop {
        // calls that were accepted wait for it
        store.sync();
        let mut pause = rested.saturating_duration_since(Instant::now());
        if pause.is_zero() {
            let (next, rest) = step(store, link, ledgers, figures, &mut tasks);
            if tidied <= Instant::now() && !store.tidy() {
                tidied = Instant::now() + TIDY;
            }
            pause = Duration::from_millis(next);
            // however many calls there are, they do not wait for this thread much of the time
            rested = Instant::now() + rest;
        }
        tokio::select! {
            () = store.wake.notified() => {}
            () = sleep(pause) => {}
            Some(_) = tasks.join_next() => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    // what is on its way to a provider is better known than not
    let _in_time = timeout(FINISH, async { while tasks.join_next().await.is_some() {} }).await;
    store.sync();
}

async fn open(store: &Store, mut lock: Option<Lock>) -> (LogFile, Vec<crate::entry::Entry>) {
    static FAILED: LogLimit = LogLimit::new();
    loop {
        let own = lock.take().map_or_else(|| Lock::take(&store.folder), Ok);
        let pause = match own.and_then(|lock| Ok(LogFile::open(&store.folder, lock)?)) {
            Ok(opened) => return opened,
            Err(OpenError::InUse) => IN_USE,
            Err(OpenError::Disk(error)) => {
                if let Some(suppressed) = FAILED.pass(()) {
                    log::error!(error:%, folder:% = store.folder.display(), suppressed;
                        "the store of calls that wait for batches cannot be opened; calls go by `otherwise` until it can");
                }
                DISK
            }
        };
        sleep(pause).await;
    }
}

/// Does what is due, or a part of that, and says in how many milliseconds more may be, and how long to leave the store's lock alone.
fn step(
    store: &Arc<Store>,
    link: &Arc<dyn Link>,
    ledgers: &Ledgers,
    figures: &Arc<Figures>,
    tasks: &mut JoinSet<()>,
) -> (Millis, Duration) {
    ledgers.book_unbooked(store);
    let now = now();
    let mut tasks_of: Vec<Task> = Vec::new();
    let (next, rest) = {
        let mut inner = store.lock();
        let turn = Turn::begin();
        let saved = inner.save();
        let (mut work, next) = plan::due(&inner.state, now, inner.terms.times, &inner.paused);
        let mut soon = if saved { LONG } else { DISK.as_millis() as Millis };
        // what may be thousands comes last, and is put off where it takes long
        work.sort_by_key(|work| matches!(work, Work::Late(_) | Work::Forget(_) | Work::Book(_)));
        let of_calls = Turn::begin();
        for (place, work) in work.into_iter().enumerate() {
            if place > 0 && of_calls.is_over() {
                soon = 1;
                break;
            }
            match work {
                Work::Submit(calls) if saved => match Task::submit(&mut inner, calls, now) {
                    Some(task) => tasks_of.push(task),
                    None => soon = soon.min(DISK.as_millis() as Millis),
                },
                Work::Submit(_) => {}
                Work::Late(call) => inner.note(failed(call, Failure::Late, "no batch took it in time", "", now)),
                Work::Forget(call) => inner.note(Fact::Gone(call)),
                Work::Book(call) => {
                    if ledgers.book(&inner.state, call) {
                        inner.note(Fact::Booked(call));
                        // it may be done with now
                        soon = 1;
                    } else {
                        soon = soon.min(DISK.as_millis() as Millis);
                    }
                }
                Work::Find(id) => tasks_of.extend(Task::about(&mut inner, id, Question::Find)),
                Work::Poll(id) => tasks_of.extend(Task::about(&mut inner, id, Question::Poll)),
                Work::Cancel(id) => tasks_of.extend(Task::about(&mut inner, id, Question::Cancel)),
            }
        }
        (next.map_or(soon, |next| next.saturating_sub(now).clamp(1, soon)), turn.rest())
    };
    // a submission is on the disk before a byte of it leaves
    let is_synced = store.sync();
    for task in tasks_of {
        tasks.spawn(task.run(store.clone(), link.clone(), figures.clone(), is_synced));
    }
    (next, rest)
}
