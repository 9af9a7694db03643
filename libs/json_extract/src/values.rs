//! The values of all slots as they come, in one buffer: each kept whole, or, beyond its bound, not at all. One comes at a time.

/// What there is of each slot's value.
#[derive(Debug)]
pub(crate) struct Values<const SLOTS: usize> {
    /// The bytes of the values that are kept, and nothing else.
    bytes: Vec<u8>,
    slots: [Value; SLOTS],
}

/// The value of one slot.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// Its place in the buffer.
    start: u32,
    end: u32,
    state: State,
    /// What it begins with, though it may be too long to be kept.
    first: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Coming,
    Whole,
    TooLong,
}

impl Value {
    const ABSENT: Self = Self { start: 0, end: 0, state: State::Absent, first: 0 };

    fn length(self) -> usize {
        (self.end - self.start) as usize
    }
}

impl<const SLOTS: usize> Values<SLOTS> {
    /// None is there.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), slots: [Value::ABSENT; SLOTS] }
    }

    /// Makes room for what may be kept of a piece so long, if there is none yet.
    #[inline]
    pub(crate) fn make_room(&mut self, piece: usize) {
        /// As much as the values of a short answer take.
        const USUAL: usize = 512;
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(piece.min(USUAL));
        }
    }

    /// None is there any more. The buffer stays.
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.slots = [Value::ABSENT; SLOTS];
    }

    /// A value begins; one of this slot that was there before does not count.
    pub(crate) fn begin(&mut self, slot: usize) {
        let before = self.slots[slot];
        if before.start < before.end {
            self.bytes.drain(before.start as usize..before.end as usize);
            // those behind it move up; it goes behind them, so that a long one is moved once for each shorter one at most
            let moved = before.end - before.start;
            for value in self.slots.iter_mut().filter(|value| value.start >= before.end) {
                value.start -= moved;
                value.end -= moved;
            }
        }
        let at = place(self.bytes.len());
        self.slots[slot] = Value { start: at, end: at, state: State::Coming, first: 0 };
    }

    /// The next bytes of the value that is coming.
    pub(crate) fn push(&mut self, slot: usize, piece: &[u8], bound: usize) {
        let value = &mut self.slots[slot];
        if value.state != State::Coming {
            return;
        }
        if let (true, Some(first)) = (value.start == value.end, piece.first()) {
            value.first = *first;
        }
        let end = self.bytes.len() + piece.len();
        if value.length() + piece.len() <= bound && end <= u32::MAX as usize {
            self.bytes.extend_from_slice(piece);
            value.end = place(end);
        } else {
            self.bytes.truncate(value.start as usize);
            // not to the end: the next value would copy all of them to grow
            self.bytes.shrink_to(2 * self.bytes.len());
            value.end = value.start;
            value.state = State::TooLong;
        }
    }

    /// The value that is coming is complete.
    pub(crate) fn end(&mut self, slot: usize) {
        if self.slots[slot].state == State::Coming {
            self.slots[slot].state = State::Whole;
        }
    }

    /// The bytes of a value, if all of them are there.
    pub(crate) fn get(&self, slot: usize) -> Option<&[u8]> {
        let value = self.slots[slot];
        (value.state == State::Whole).then(|| self.bytes.get(value.start as usize..value.end as usize)).flatten()
    }

    /// Whether a value is there, whatever it is.
    pub(crate) fn is_there(&self, slot: usize) -> bool {
        matches!(self.slots[slot].state, State::Whole | State::TooLong)
    }

    /// Whether a value was longer than its bound.
    pub(crate) fn is_too_long(&self, slot: usize) -> bool {
        self.slots[slot].state == State::TooLong
    }

    /// Whether a value is a list with something in it, however long.
    pub(crate) fn is_filled_list(&self, slot: usize) -> bool {
        let inner = |bytes: &[u8]| bytes.get(1..bytes.len() - 1).is_some_and(|inner| !inner.trim_ascii().is_empty());
        self.slots[slot].first == b'[' && (self.is_too_long(slot) || self.get(slot).is_some_and(inner))
    }

    /// Whether a value is a list, however long.
    pub(crate) fn is_list(&self, slot: usize) -> bool {
        self.slots[slot].first == b'[' && self.is_there(slot)
    }
}

/// Fits: what goes beyond is not kept.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(values: &mut Values<3>, slot: usize, text: &[u8]) {
        values.begin(slot);
        text.chunks(2).for_each(|piece| values.push(slot, piece, 4 << 10));
        values.end(slot);
    }

    #[test]
    fn a_value_beyond_its_bound_gives_its_memory_back_and_leaves_the_others() {
        let mut values = Values::<3>::new();
        say(&mut values, 1, b"[1]");
        say(&mut values, 0, &[b'x'; 10_000]);
        assert!(values.is_too_long(0) && values.get(0).is_none() && values.is_there(0));
        assert_eq!(values.get(1), Some(&b"[1]"[..]));
        assert!(values.bytes.capacity() < 100);
    }

    #[test]
    fn a_value_that_comes_again_takes_the_place_of_the_earlier_one_and_nothing_grows() {
        let mut values = Values::<3>::new();
        for round in 0..1000 {
            for (slot, text) in [(0, format!("{round}")), (2, format!("\"{round}\"")), (1, String::from("[ ]"))] {
                say(&mut values, slot, text.as_bytes());
            }
        }
        assert_eq!(values.get(0), Some(&b"999"[..]));
        assert_eq!(values.get(2), Some(&b"\"999\""[..]));
        assert_eq!((values.get(1), values.is_list(1), values.is_filled_list(1)), (Some(&b"[ ]"[..]), true, false));
        assert_eq!(values.bytes.len(), 11);
        values.forget();
        assert!(values.get(0).is_none() && !values.is_there(1) && values.bytes.is_empty());
    }
}
