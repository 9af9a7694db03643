//! The value of a slot as it comes: kept whole, or, beyond its bound, not at all.

#[derive(Debug, Default)]
pub(crate) struct Value {
    bytes: Vec<u8>,
    state: State,
    /// What it begins with, though it may be too long to be kept.
    first: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Absent,
    Coming,
    Whole,
    TooLong,
}

impl Value {
    /// It is not there, until it begins.
    pub(crate) fn forget(&mut self) {
        self.state = State::Absent;
    }

    /// It begins; one that was there before does not count.
    pub(crate) fn begin(&mut self) {
        self.bytes.clear();
        self.state = State::Coming;
    }

    /// Its next bytes.
    pub(crate) fn push(&mut self, piece: &[u8], bound: usize) {
        if self.state != State::Coming {
            return;
        }
        if let (true, Some(first)) = (self.bytes.is_empty(), piece.first()) {
            self.first = *first;
        }
        if self.bytes.len() + piece.len() <= bound {
            self.bytes.extend_from_slice(piece);
        } else {
            self.bytes = Vec::new();
            self.state = State::TooLong;
        }
    }

    /// It is complete.
    pub(crate) fn end(&mut self) {
        if self.state == State::Coming {
            self.state = State::Whole;
        }
    }

    /// Its bytes, if all of them are there.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        (self.state == State::Whole).then_some(&*self.bytes)
    }

    /// Whether it is there, whatever it is.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self.state, State::Whole | State::TooLong)
    }

    /// Whether there were too many.
    pub(crate) fn is_too_long(&self) -> bool {
        self.state == State::TooLong
    }

    /// Whether it is a list with something in it, however long.
    pub(crate) fn is_filled_list(&self) -> bool {
        let inner = |bytes: &[u8]| bytes.get(1..bytes.len() - 1).is_some_and(|inner| !inner.trim_ascii().is_empty());
        self.first == b'[' && (self.is_too_long() || self.get().is_some_and(inner))
    }

    /// Whether it is a list, however long.
    pub(crate) fn is_list(&self) -> bool {
        self.first == b'[' && self.is_there()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_beyond_its_bound_gives_its_memory_back() {
        let mut value = Value::default();
        value.begin();
        (0..100).for_each(|_| value.push(&[b'x'; 100], 4 << 10));
        value.end();
        assert!(value.is_too_long() && value.get().is_none());
        assert_eq!(value.bytes.capacity(), 0);
    }
}
