//! What was appended of late, in memory: while the reader keeps up, it need not read and decode what this process has just encoded. The
//! segments are the truth, and whatever is not here is read from them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::Decoded;
use crate::count::Place;
use crate::position::Position;

/// Beyond so many records, or bytes of them in the journal, nothing is added until the reader has come to the end again.
pub(crate) const RECORDS: usize = 4096;
const BYTES: u64 = 4 << 20;
/// A longer record is read from the disk.
const LARGE: u64 = 64 << 10;

/// The records that were appended since the reader was last at the end of the journal, without a gap.
#[derive(Debug)]
pub(crate) struct Tail<T> {
    held: VecDeque<Held<T>>,
    /// What was handed over takes so many bytes in the journal.
    bytes: u64,
    /// What is appended now goes on from `held`, or from where the reader is.
    is_live: bool,
}

/// What the reader has taken of it, and has yet to come to.
#[derive(Debug)]
pub(crate) struct Taken<T>(VecDeque<Held<T>>);

/// A record that was appended.
#[derive(Debug)]
struct Held<T> {
    /// Where its frame begins and ends.
    from: Position,
    end: u64,
    place: Place,
    /// The record; none where it was not handed over.
    decoded: Option<Decoded<T>>,
}

/// A record that was handed over, and where its frame ends.
#[derive(Debug)]
pub(crate) struct Handed<T> {
    pub(crate) end: u64,
    pub(crate) place: Place,
    pub(crate) decoded: Decoded<T>,
}

impl<T> Default for Tail<T> {
    fn default() -> Self {
        Self { held: VecDeque::new(), bytes: 0, is_live: false }
    }
}

impl<T> Tail<T> {
    /// The reader has read all that was appended: what comes now goes on from there.
    pub(crate) fn begin(&mut self) {
        self.is_live |= self.held.is_empty();
    }

    /// There is no reader any more.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// A record was appended. It may be handed over later.
    pub(crate) fn push(&mut self, from: Position, end: u64, place: Place) {
        self.is_live &= self.held.len() < RECORDS && self.bytes < BYTES;
        if self.is_live {
            self.held.push_back(Held { from, end, place, decoded: None });
        }
    }

    /// Takes the record at a place, counted from 1 in its run, if it is one of these.
    pub(crate) fn fill(&mut self, place: u64, decoded: Decoded<T>) {
        let index = self.held.front().and_then(|first| place.checked_sub(first.place.before.records() + 1));
        let held = index.and_then(|index| self.held.get_mut(usize::try_from(index).ok()?));
        if let Some(held) = held.filter(|held| held.end - held.from.offset <= LARGE) {
            self.bytes += held.end - held.from.offset;
            held.decoded = Some(decoded);
        }
    }
}

impl<T> Default for Taken<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Taken<T> {
    /// The record whose frame begins at a place, if it was handed over.
    pub(crate) fn next(&mut self, at: Position, tail: &Mutex<Tail<T>>) -> Option<Handed<T>> {
        // some may have been read from the disk
        let was_read = |held: &mut Held<T>| held.from < at;
        while self.0.pop_front_if(was_read).is_some() {}
        if self.0.is_empty() {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut tail.held, &mut self.0);
            tail.bytes = 0;
            drop(tail);
            while self.0.pop_front_if(was_read).is_some() {}
        }
        let Held { end, place, decoded, .. } = self.0.pop_front_if(|held| held.from == at && held.decoded.is_some())?;
        decoded.map(|decoded| Handed { end, place, decoded })
    }
}
