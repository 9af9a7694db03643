//! The consumers of a journal, which read it beside the reader: how far each has come, what is kept for them, and what goes where it would
//! take more than it may. Each has its position in a file `NAME.consumer` beside the segments. Reading is the
//! [`Consumer`](crate::Consumer)'s.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use crate::disk::{Disk, Held};
use crate::event::Event;
use crate::open::{read_of, was_passed};
use crate::position::{self, Kept, Position};
use crate::run::Run;
use crate::unknown::Passed;
use crate::{Journal, segment};

/// How far the reader and the consumers have come.
#[derive(Debug)]
pub(crate) struct Consumers {
    /// The reader.
    pub(crate) read: Kept,
    /// Whether it has read all that earlier processes left.
    pub(crate) has_read_old: bool,
    /// The consumers by their names.
    known: Vec<(String, Kept)>,
}

impl Consumers {
    pub(crate) fn new(read: Kept, known: Vec<(String, Kept)>) -> Self {
        Self { read, has_read_old: false, known }
    }

    /// The first segment that a consumer has not read to its end.
    pub(crate) fn first_needed(&self) -> u64 {
        self.known.iter().map(|(_, kept)| kept.at.segment).min().unwrap_or(u64::MAX)
    }

    /// The last segment that a consumer has come to.
    pub(crate) fn last_segment(&self) -> u64 {
        self.known.iter().map(|(_, kept)| kept.at.segment).max().unwrap_or(0)
    }

    /// Whether no consumer has anything of a run to read.
    pub(crate) fn have_passed(&self, run: &Run) -> bool {
        self.known.iter().all(|(_, kept)| was_passed(run, *kept))
    }

    fn find(&self, name: &str) -> Option<Kept> {
        self.known.iter().find(|(known, _)| known == name).map(|(_, kept)| *kept)
    }
}

impl<T> Journal<T> {
    /// How far a consumer has come. A new one begins where the reader is now.
    pub(crate) fn begin_consumer(&self, name: &str) -> Kept {
        let mut consumers = self.consumers();
        if let Some(kept) = consumers.find(name) {
            return kept;
        }
        let read = consumers.read;
        consumers.known.push((name.to_owned(), read));
        read
    }

    /// A consumer has come so far, and that is on the disk: what no other one needs goes.
    pub(crate) fn consumed(&self, name: &str, kept: Kept) {
        let mut consumers = self.consumers();
        let Some((_, known)) = consumers.known.iter_mut().find(|(known, _)| known == name) else { return };
        let is_new_run = known.salt != kept.salt;
        *known = kept;
        drop(consumers);
        self.release_held();
        if is_new_run {
            self.forget_passed_runs();
        }
    }

    /// Keeps the positions of these consumers, and forgets those of all others: what was kept for them goes.
    ///
    /// # Errors
    /// A position cannot be removed. The next start knows its consumer still.
    pub fn keep_consumers(&self, is_wanted: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut gone = Vec::new();
        self.consumers().known.retain(|(name, _)| {
            is_wanted(name) || {
                gone.push(name.clone());
                false
            }
        });
        if gone.is_empty() {
            return Ok(());
        }
        self.release_held();
        self.forget_passed_runs();
        gone.iter().try_for_each(|name| match fs::remove_file(position::consumer(&self.folder, name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    /// Up to where the reader's records are [done](crate::Reader::done): stored elsewhere.
    #[must_use]
    pub fn stored(&self) -> Position {
        self.consumers().read.at
    }

    /// Records that a consumer has yet to take; 0 for one that the journal does not know.
    #[must_use]
    pub fn lag(&self, consumer: &str) -> u64 {
        let Some(kept) = self.consumers().find(consumer) else { return 0 };
        let own = Run { end: self.disk().count, ..self.own };
        let ahead = |run: &Run| match was_passed(run, kept) {
            true => 0,
            false => run.end.records().saturating_sub(read_of(run, Some(kept)).records()),
        };
        self.runs().chain([&own]).map(ahead).sum()
    }

    /// What the segments take on the disk that only consumers have yet to read, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.disk().held_bytes
    }

    /// Changes the most that those may take. Beyond it the oldest of them go, unread.
    pub fn set_held_max_bytes(&self, bytes: u64) {
        self.disk().held_max_bytes = bytes;
        self.trim_held();
    }

    /// The reader is done with a segment. Whether a consumer is not, so that it stays.
    pub(crate) fn hold(&self, number: u64, passed: Option<Passed>) -> bool {
        let is_needed = number >= self.consumers().first_needed();
        if is_needed {
            let mut disk = self.disk();
            disk.hold(number, passed);
            self.bytes.store(disk.bytes, Ordering::Relaxed);
        }
        is_needed
    }

    /// Removes what no consumer needs any more, and the oldest of the rest where that takes more than it may.
    pub(crate) fn trim_held(&self) {
        self.release_held();
        let is_too_much = |disk: &Disk, _: &Held| disk.held_bytes > disk.held_max_bytes;
        while let Some(held) = { self.disk().take_held(is_too_much) } {
            self.cut(held);
        }
    }

    /// Makes room on a disk that is full, at the cost of consumers. Whether there was something to remove.
    pub(crate) fn cut_held(&self, disk: &mut Disk) -> bool {
        let held = disk.take_held(|_, _| true);
        held.is_some_and(|held| {
            self.cut(held);
            true
        })
    }

    fn cut(&self, Held { segment, passed }: Held) {
        let file = segment::path(&self.folder, segment.number);
        self.report(&Event::ConsumersCut { file: &file, bytes: segment.end });
        self.remove(segment.number, passed);
    }

    /// Removes what no consumer needs any more.
    fn release_held(&self) {
        let first = self.consumers().first_needed();
        while let Some(held) = { self.disk().take_held(|_, held| held.segment.number < first) } {
            self.remove(held.segment.number, held.passed);
        }
    }

    /// Removes the files of runs that were read to their end by all.
    pub(crate) fn forget_passed_runs(&self) {
        let consumers = self.consumers();
        let old: &[Run] = if consumers.has_read_old { &self.old } else { &[] };
        for run in self.held_runs.iter().chain(old).filter(|run| consumers.have_passed(run)) {
            // it may be gone, and the next start removes what is left
            let _ = run.remove(&self.folder);
        }
    }

    /// The runs of earlier processes that are known, in order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.held_runs.iter().chain(&self.old)
    }

    pub(crate) fn consumers(&self) -> MutexGuard<'_, Consumers> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
