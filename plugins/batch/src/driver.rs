//! The thread of a store: it opens the log, does what the plan says, and brings entries to the disk. One process drives a store at a
//! time, the one that has its lock.

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
use crate::store::{Store, failed};
use crate::task::{Question, Task};

/// How long another process may have the store before it is tried again.
const IN_USE: Duration = Duration::from_millis(200);
/// How long the disk is left alone where it does not open or take the log.
const DISK: Duration = Duration::from_secs(1);
/// How long submissions that are on their way may take when the store goes to another process.
const FINISH: Duration = Duration::from_secs(5);
/// The thread has the store's lock for one part in this many of the time at most, and rests no longer than this for it.
const SHARE: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(500);
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
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime for batches: {error}"))?;
        let work = move || {
            let _ended = end;
            runtime.block_on(run(&store, &link, &ledgers, &figures, lock, stopped));
            store.closed();
        };
        thread::Builder::new()
            .name("batch".to_owned())
            .spawn(work)
            .map_err(|error| format!("no thread for batches: {error}"))?;
        Ok(Self { stop, ended })
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
    store.opens();
    let opened = tokio::select! {
        opened = open(store, lock) => opened,
        _ = stopped.wait_for(|stopped| *stopped) => return,
    };
    let (log, entries) = opened;
    store.opened(log, entries);
    let mut tasks = JoinSet::new();
    let mut rested = Instant::now();
    loop {
        // calls that were accepted wait for it
        store.sync();
        let mut pause = rested.saturating_duration_since(Instant::now());
        if pause.is_zero() {
            let (next, held) = step(store, link, ledgers, figures, &mut tasks);
            store.tidy();
            pause = Duration::from_millis(next);
            // however many calls there are, they do not wait for this thread much of the time
            rested = Instant::now() + (held * SHARE).min(LONGEST_REST);
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

/// Does what is due, and says in how many milliseconds more may be, and for how long it had the store's lock.
fn step(
    store: &Arc<Store>,
    link: &Arc<dyn Link>,
    ledgers: &Ledgers,
    figures: &Arc<Figures>,
    tasks: &mut JoinSet<()>,
) -> (Millis, Duration) {
    ledgers.book_unbooked(store);
    let (now, began) = (now(), Instant::now());
    let mut tasks_of: Vec<Task> = Vec::new();
    let next = {
        let mut inner = store.lock();
        let saved = inner.save();
        let (work, next) = plan::due(&inner.state, now, inner.terms.times, &inner.paused);
        let mut soon = if saved { LONG } else { DISK.as_millis() as Millis };
        for work in work {
            match work {
                Work::Submit(calls) if saved => tasks_of.extend(Task::submit(&mut inner, calls, now)),
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
        next.map_or(soon, |next| next.saturating_sub(now).clamp(1, soon))
    };
    let held = began.elapsed();
    // a submission is on the disk before a byte of it leaves
    let is_synced = store.sync();
    for task in tasks_of {
        tasks.spawn(task.run(store.clone(), link.clone(), figures.clone(), is_synced));
    }
    (next, held)
}
