//! How a segment leaves the journal once its records are stored elsewhere: it is removed, or stays as an `.unread` file for the
//! records that this release does not know.

use std::fs;
use std::sync::atomic::Ordering;

use crate::Journal;
use crate::event::Event;
use crate::position::Position;
use crate::run::{self, Run};
use crate::segment::{self, UNREAD};
use crate::unknown::{self, Passed};

impl<T> Journal<T> {
    /// So many records up to a place wait no more.
    pub(crate) fn passed(&self, to: Position, records: u64) {
        let disk = self.disk();
        // what a release without runs left is counted only as far as it can be read
        let left = if disk.is_end(to) { 0 } else { self.waiting().saturating_sub(records) };
        self.waiting.store(left, Ordering::Relaxed);
    }

    /// The reader is done with all segments before a number: those that no consumer needs are removed. `has_unknown` says in which of
    /// them records were passed over.
    pub(crate) fn retire(&self, before: u64, has_unknown: impl Fn(u64) -> Option<Passed>) {
        loop {
            let number = self.disk().closed.front().map(|closed| closed.number).filter(|number| *number < before);
            let Some(number) = number else { break };
            let passed = has_unknown(number);
            if !self.hold(number, passed) {
                self.remove(number, passed);
                self.forget(number);
            }
        }
        self.trim_held();
    }

    /// Removes a segment, unless it holds records that this release does not know.
    pub(crate) fn remove(&self, number: u64, passed: Option<Passed>) {
        if let Some(passed) = passed {
            let run = self.run_of(passed.salt);
            if let Err(error) = unknown::keep(&self.folder, number, passed, run.as_ref(), self.decode) {
                // it stays as it is, and the next start takes it up by its mark
                let file = segment::file(&self.folder, number, UNREAD);
                self.report(&Event::UnknownNotKept { file: &file, error: &error });
            }
            return;
        }
        let path = segment::path(&self.folder, number);
        if let Err(error) = fs::remove_file(&path) {
            self.report(&Event::NotRemoved { file: &path, error: &error });
        }
    }

    /// The reader has read all that earlier processes left.
    pub(crate) fn forget_old_runs(&self) {
        self.consumers().has_read_old = true;
        self.forget_passed_runs();
    }

    /// A segment is not there any more.
    pub(crate) fn forget(&self, number: u64) {
        let mut disk = self.disk();
        disk.forget(number);
        self.bytes.store(disk.bytes, Ordering::Relaxed);
    }

    fn run_of(&self, salt: u32) -> Option<Run> {
        self.runs().chain([&self.own]).find(|run| run.salt == salt).copied()
    }

    /// The salt of a segment by its number, where that of its head is lost.
    pub(crate) fn salt_of(&self, number: u64) -> Option<u32> {
        if number >= self.own.first {
            return Some(self.own.salt);
        }
        run::of_segment(self.runs(), number).map(|run| run.salt)
    }
}
