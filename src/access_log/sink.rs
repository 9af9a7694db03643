//! A bounded buffer of lines and a thread that writes them to the output. Knows nothing of their contents.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

/// The size at which a batch is written at once, in bytes.
const BATCH: usize = 64 << 10;
/// How long a smaller batch waits for more lines.
const BATCH_TIMEOUT: Duration = Duration::from_millis(100);
/// The most buffered bytes, the batch that is being written included.
const MAX_BUFFERED: usize = 8 << 20;
/// How long the end of the sink waits for a write.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// How long one poll waits for a nonblocking output, in milliseconds, before a check whether the sink was closed.
const WRITABLE_TIMEOUT: u8 = 100;

/// How much memory a thread keeps for its next line, in bytes.
const USUAL_LINE: usize = 4 << 10;

thread_local! {
    /// The line that this thread writes.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Takes lines without waiting for the output. Lines that the output does not take in time are lost and counted.
#[derive(Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

/// The output of a sink.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output, shared with other writers of the process by its lock.
    Stdout,
    /// Standard error, shared likewise.
    Stderr,
    /// A file, open for appending.
    File(File),
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Wakes the thread.
    work: Condvar,
    /// Signals the end of the thread.
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
    /// The thread waits for the first line without a timeout.
    asleep: bool,
    /// The output of the next batch, if it changes.
    other: Option<Output>,
    /// When the sink was closed.
    closed: Option<Instant>,
    ended: bool,
}

impl Sink {
    /// Starts a thread that writes to this output. Lost lines are counted in `lost`.
    ///
    /// # Errors
    /// The thread cannot be started.
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

    /// Takes a line, which `write` appends with its line break. No other thread waits for that.
    pub(super) fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            write(line);
            self.append(line);
            line.shrink_to(USUAL_LINE);
        });
    }

    fn append(&self, line: &[u8]) {
        let mut waiting = self.shared.waiting();
        let before = waiting.lines.len();
        if before + line.len() + waiting.writing > MAX_BUFFERED {
            drop(waiting);
            self.shared.lose(1);
            return;
        }
        waiting.lines.extend_from_slice(line);
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

    /// The number of lost lines.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    /// Waits until everything is written, but not longer than [`LAST_WRITE`] for a single write; its thread is abandoned then.
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        let now = Instant::now();
        waiting.closed = Some(now);
        waiting.asleep = false;
        self.shared.work.notify_one();
        let since = if waiting.writing > 0 { waiting.taken } else { now };
        let left = (since + LAST_WRITE).saturating_duration_since(now);
        // nothing follows, so a poisoned lock does not matter
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

    /// Waits for the next batch and stores it in `batch`; `false` at the end.
    ///
    /// While lines keep coming, the thread wakes by its timeout and spares requests the wake-up. Only the first line after a
    /// pause wakes it, and is written at once.
    fn next(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        batch.shrink_to(2 * BATCH);
        let mut waiting = self.waiting();
        waiting.writing = 0;
        let timeout = BATCH_TIMEOUT.saturating_sub(waiting.taken.elapsed());
        let few = |waiting: &mut Waiting| waiting.lines.len() < BATCH && waiting.closed.is_none();
        let waited = self.work.wait_timeout_while(waiting, timeout, few);
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

    /// Whether the sink was closed so long ago that its drop no longer waits.
    fn is_forsaken(&self) -> bool {
        self.waiting().closed.is_some_and(|closed| closed.elapsed() >= LAST_WRITE)
    }
}

/// The thread.
struct Writer {
    output: Output,
    shared: Arc<Shared>,
    /// The last line was written in part.
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
            // the lock keeps lines of an old and a new configuration's sinks apart
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

/// Writes lines as far as possible and returns the number of bytes written. `torn` is, before and after, whether the last
/// line was written in part.
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
                // an error shows in the next write
                let _ = poll(&mut descriptor, WRITABLE_TIMEOUT);
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, output.flush())
}
