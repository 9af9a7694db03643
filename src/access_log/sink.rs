//! Where lines go, at a distance from those who write them: a bounded buffer, and a thread that empties it.
//! Knows nothing of what a line says.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

/// As many bytes make a batch that is written at once.
const BATCH: usize = 64 << 10;
/// How long a smaller batch waits for more.
const PATIENCE: Duration = Duration::from_millis(100);
/// The most bytes that wait, the batch that is being written included.
const MOST: usize = 8 << 20;
/// How long a write may hold up the end of the sink.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// How long to wait at once for a nonblocking output to take more, before a look whether the sink was closed.
const WRITABLE_TIMEOUT: u8 = 100;

/// A place for lines. Taking one never waits for the output; what the output does not take in time is lost and counted.
#[derive(Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

/// What a sink writes to.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output, in turn with everyone else in the process who writes there.
    Stdout,
    /// Standard error, likewise.
    Stderr,
    /// A file, open for appending.
    File(File),
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to do for the thread.
    work: Condvar,
    /// The thread has ended.
    ended: Condvar,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Waiting {
    lines: Vec<u8>,
    /// The size of the batch that is being written; 0 between two batches.
    writing: usize,
    /// When the last batch was taken.
    taken: Instant,
    /// The thread waits for the first line, without looking at the clock.
    asleep: bool,
    /// What the next batch is to be written to, where that is something else.
    other: Option<Output>,
    /// Since when no more lines come.
    closed: Option<Instant>,
    ended: bool,
}

impl Sink {
    /// Starts a thread that writes to this output. Lost lines are counted in `lost`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(output: Output, lost: Arc<AtomicU64>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                lines: Vec::with_capacity(BATCH),
                writing: 0,
                taken: Instant::now(),
                asleep: false,
                other: None,
                closed: None,
                ended: false,
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
            lost,
        });
        let writer = Writer { output, shared: shared.clone(), torn: false, failing: false };
        std::thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?;
        Ok(Self { shared })
    }

    /// Takes a line, its end included, that `write` appends.
    pub(super) fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.shared.waiting();
        let before = waiting.lines.len();
        if before + waiting.writing >= MOST {
            drop(waiting);
            self.shared.lose(1);
            return;
        }
        write(&mut waiting.lines);
        if waiting.lines.len() + waiting.writing > MOST {
            waiting.lines.truncate(before);
            drop(waiting);
            self.shared.lose(1);
            return;
        }
        let full = before < BATCH && waiting.lines.len() >= BATCH;
        let wake = std::mem::take(&mut waiting.asleep) || full;
        drop(waiting);
        if wake {
            self.shared.work.notify_one();
        }
    }

    /// Writes to this output from the next batch on.
    pub(super) fn change(&self, output: Output) {
        self.shared.waiting().other = Some(output);
    }

    /// How many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    /// Waits until all is written, but not for an output that has been at one write for long: its thread is left to it.
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        let now = Instant::now();
        waiting.closed = Some(now);
        waiting.asleep = false;
        self.shared.work.notify_one();
        let since = if waiting.writing > 0 { waiting.taken } else { now };
        let left = (since + LAST_WRITE).saturating_duration_since(now);
        // poisoned or not, there is nothing to do after it
        drop(self.shared.ended.wait_timeout_while(waiting, left, |waiting| !waiting.ended));
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Waits for the next batch and puts it in the place of the last one. False at the end.
    ///
    /// While lines keep coming, the thread wakes by its own clock, and nobody who brings one has to wake it. Only the
    /// first line after a silence does, and it is written at once.
    fn next(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        batch.shrink_to(2 * BATCH);
        let mut waiting = self.waiting();
        waiting.writing = 0;
        let patience = PATIENCE.saturating_sub(waiting.taken.elapsed());
        let few = |waiting: &mut Waiting| waiting.lines.len() < BATCH && waiting.closed.is_none();
        let waited = self.work.wait_timeout_while(waiting, patience, few);
        waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        if waiting.lines.is_empty() && waiting.closed.is_none() {
            waiting.asleep = true;
            let none = |waiting: &mut Waiting| waiting.lines.is_empty() && waiting.closed.is_none();
            waiting = self.work.wait_while(waiting, none).unwrap_or_else(PoisonError::into_inner);
            waiting.asleep = false;
        }
        if waiting.lines.is_empty() {
            waiting.ended = true;
            self.ended.notify_all();
            return false;
        }
        std::mem::swap(&mut waiting.lines, batch);
        waiting.writing = batch.len();
        waiting.taken = Instant::now();
        true
    }

    /// Whether the sink was closed so long ago that nobody waits for its lines.
    fn is_forsaken(&self) -> bool {
        self.waiting().closed.is_some_and(|closed| closed.elapsed() >= LAST_WRITE)
    }
}

/// The thread's side.
struct Writer {
    output: Output,
    shared: Arc<Shared>,
    /// The last line written is not whole.
    torn: bool,
    failing: bool,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.shared.next(&mut batch) {
            if let Some(other) = self.shared.waiting().other.take() {
                (self.output, self.torn, self.failing) = (other, false, false);
            }
            self.write(&batch);
        }
    }

    fn write(&mut self, batch: &[u8]) {
        let shared = &self.shared;
        let mut torn = self.torn;
        let (written, result) = match &mut self.output {
            // the lock keeps the lines of two sinks apart, of an old and a new configuration
            Output::Stdout => put(&mut io::stdout().lock(), batch, &mut torn, shared),
            Output::Stderr => put(&mut io::stderr().lock(), batch, &mut torn, shared),
            Output::File(file) => put(file, batch, &mut torn, shared),
        };
        self.torn = torn;
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                let lost = batch[written..].iter().filter(|byte| **byte == b'\n').count();
                self.shared.lose(lost as u64);
                if !std::mem::replace(&mut self.failing, true) {
                    log::error!(error:%; "the access log cannot be written; its lines are lost");
                }
            }
        }
    }
}

/// Writes whole lines as far as it gets, and tells how many bytes that is. `torn` says, before and after, whether a line
/// was left without its end.
fn put(output: &mut (impl Write + AsFd), batch: &[u8], torn: &mut bool, shared: &Shared) -> (usize, io::Result<()>) {
    if *torn {
        match put_bytes(output, b"\n", shared) {
            (_, Ok(())) => *torn = false,
            (_, Err(error)) => return (0, Err(error)),
        }
    }
    let (written, result) = put_bytes(output, batch, shared);
    *torn = batch[..written].last().is_some_and(|last| *last != b'\n');
    (written, result)
}

fn put_bytes(output: &mut (impl Write + AsFd), bytes: &[u8], shared: &Shared) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !shared.is_forsaken() => {
                let mut descriptor = [PollFd::new(output.as_fd(), PollFlags::POLLOUT)];
                // the write tells what is wrong, if something is
                let _ = poll(&mut descriptor, WRITABLE_TIMEOUT);
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, output.flush())
}
