//! Opening a journal: what earlier processes left is sorted into what is to be read, what is done with, and what waits for another
//! release.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::consumers::Consumers;
use crate::count::Count;
use crate::disk::{Closed, Disk, Held};
use crate::event::Observer;
use crate::position::{self, Kept, Position, PositionFile};
use crate::run::{self, Run, RunFile};
use crate::segment::{self, Head, PASSED, UNREAD};
use crate::{Decoder, Journal, OpenError, Reader, unknown};

/// Settings of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most that its segments may take on the disk, in bytes. What waits for a later release is not counted.
    pub max_bytes: u64,
}

/// What earlier processes left.
struct Left {
    /// The segments that the reader is done with, and a consumer is not.
    held: VecDeque<Held>,
    /// The segments that are to be read.
    closed: VecDeque<Closed>,
    /// The number of the first segment that was an `.unread` file.
    adopted: u64,
    /// The number of the next segment.
    next: u64,
    /// Where reading goes on.
    at: Option<Kept>,
    /// Records that wait for a later release.
    unknown: u64,
    /// Segments of a later version that do.
    later: Vec<u64>,
}

impl<T> Journal<T> {
    /// Opens the journal in a folder, creating it if need be, and its one reader.
    ///
    /// # Errors
    /// Another process has it, or the disk does not allow it.
    pub fn open(
        folder: &Path,
        options: Options,
        decode: Decoder<T>,
        observer: Box<dyn Observer>,
    ) -> Result<(Arc<Self>, Reader<T>), OpenError> {
        let failed = |error: io::Error| OpenError::Disk(folder.to_owned(), error);
        private_files::create_dir_all(folder).map_err(failed)?;
        let lock = lock(folder)?;
        let (kept, at) = PositionFile::open(folder).map_err(failed)?;
        let mut old = run::list(folder).map_err(failed)?;
        let consumers = position::consumers(folder).map_err(failed)?;
        let mut consumers = Consumers::new(at.unwrap_or_default(), consumers);
        if at.is_none() && old.is_empty() {
            // the next process could not tell the beginning from a position that was lost
            kept.keep(Kept::default()).map_err(failed)?;
        }
        let left = sort(folder, at, &consumers, &old, decode).map_err(failed)?;
        let Left { held, closed, adopted, next, at, unknown, later } = left;
        consumers.read = at.unwrap_or_default();
        let salt = u32::from_le_bytes(random(Uuid::now_v7()));
        let disk = Disk::new(folder, held, closed, next, salt).map_err(failed)?;
        let own = Run { first: next, salt, instance: Uuid::now_v7(), end: Count::default() };
        let run = RunFile::create(folder, &own).map_err(failed)?;
        // a run whose segments are of a later version is that release's to count
        let later: Vec<u32> =
            later.iter().filter_map(|number| run::of_segment(&old, *number)).map(|run| run.salt).collect();
        old.retain(|run| !later.contains(&run.salt));
        let is_passed = |run: &mut Run| at.is_some_and(|at| was_passed(run, at));
        let passed = old.extract_if(.., is_passed);
        let held_runs = passed.filter(|run| !consumers.have_passed(run) || run.remove(folder).is_err()).collect();
        let left = old.iter().map(|run| run.end.records().saturating_sub(read_of(run, at).records())).sum();
        let journal = Arc::new(Self {
            folder: folder.to_owned(),
            own,
            run,
            decode,
            old,
            held_runs,
            consumers: Mutex::new(consumers),
            adopted,
            max_bytes: options.max_bytes.into(),
            bytes: disk.bytes.into(),
            disk: Mutex::new(disk),
            tail: Mutex::default(),
            waiting: AtomicU64::new(left),
            left,
            unknown: AtomicU64::new(unknown),
            work: Notify::new(),
            wanted: AtomicU64::new(u64::MAX),
            has_segment_ended: AtomicBool::new(false),
            observer,
            lock,
        });
        Ok((journal.clone(), Reader::new(journal, decode, kept, at)))
    }
}

/// The journal's lock, which the process keeps as long as the file is open.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let failed = |error: io::Error| OpenError::Disk(folder.to_owned(), error);
    let options = private_files::options().write(true).create(true).truncate(false).open(folder.join("lock"));
    let lock = options.map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Sorts the files of earlier processes: removes segments that were read to their end and that no consumer needs, keeps those of later
/// releases, and takes records up again that this release knows and an earlier one did not.
fn sort<T>(
    folder: &Path,
    at: Option<Kept>,
    consumers: &Consumers,
    runs: &[Run],
    decode: Decoder<T>,
) -> io::Result<Left> {
    let read = at.unwrap_or_default().at;
    let mut left = Left {
        held: VecDeque::new(),
        closed: VecDeque::new(),
        adopted: 0,
        next: read.segment.max(run::highest(folder)?).max(consumers.last_segment()) + 1,
        at,
        unknown: 0,
        later: Vec::new(),
    };
    for number in segment::list(folder)? {
        left.next = left.next.max(number + 1);
        let path = segment::path(folder, number);
        let end = fs::metadata(&path)?.len();
        // one that cannot be read now is the reader's to deal with
        let head = File::open(&path).and_then(|file| segment::head(&file)).unwrap_or(Head::Damaged);
        let marked = unknown::marked(folder, number);
        if head == Head::Later {
            unknown::set_aside(folder, number)?;
        } else if number < read.segment || number == read.segment && end <= read.offset {
            if marked.is_some() {
                unknown::set_aside(folder, number)?;
            } else if number >= consumers.first_needed() {
                let segment = Closed { number, end, is_counted: true };
                left.held.push_back(Held { segment, passed: None });
            } else {
                fs::remove_file(&path)?;
            }
        } else {
            if let Some(from) = marked.filter(|_| number == read.segment) {
                // this release may know what the one before passed over: it is read once more
                let at = Position { segment: number, offset: from.min(read.offset) };
                left.at = left.at.map(|kept| Kept { at, ..kept });
            }
            left.closed.push_back(Closed { number, end, is_counted: true });
        }
    }
    let unread = segment::numbered(folder, UNREAD)?;
    left.next = unread.last().map_or(left.next, |last| left.next.max(last + 1));
    left.adopted = left.next;
    for number in unread {
        let (path, journal) = (segment::file(folder, number, UNREAD), segment::path(folder, number));
        if journal.exists() {
            // a second name of the segment, which an earlier release gave it
            if unknown::mark(folder, number, 0).is_ok() {
                fs::remove_file(path)?;
            }
            continue;
        }
        // one that cannot be read now stays
        let Ok(found) = unknown::look(&path, runs, decode, drop) else { continue };
        let Some(salt) = found.salt.filter(|_| found.known > 0) else {
            left.unknown += found.unknown;
            if found.is_later {
                left.later.push(number);
            }
            continue;
        };
        unknown::adopt(folder, number, salt, left.next)?;
        let end = fs::metadata(segment::path(folder, left.next))?.len();
        left.closed.push_back(Closed { number: left.next, end, is_counted: false });
        left.next += 1;
    }
    for number in segment::numbered(folder, PASSED)? {
        if !segment::path(folder, number).exists() {
            fs::remove_file(segment::file(folder, number, PASSED))?;
        }
    }
    Ok(left)
}

/// Whether a run was read to its end, as far as the reader came.
pub(crate) fn was_passed(run: &Run, read: Kept) -> bool {
    let begins = Position { segment: run.first, offset: 0 };
    begins < read.at && run.salt != read.salt
}

/// How much was read of a run that was not passed.
pub(crate) fn read_of(run: &Run, read: Option<Kept>) -> Count {
    read.filter(|read| read.salt == run.salt).map_or_else(Count::default, |read| read.count)
}

/// Bits that nobody can guess: the last of a `UUIDv7`.
fn random(id: Uuid) -> [u8; 4] {
    let bytes = id.as_bytes();
    [bytes[12], bytes[13], bytes[14], bytes[15]]
}
