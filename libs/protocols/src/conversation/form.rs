//! The form of messages: what the conversation hash ignores, with marks and notes of what it has.

use json_tape::{Feed, Key, Open, Tape, Text, Value};

/// What the conversation hash ignores: each message in its exact form, but for the strings that the conversation hash takes as
/// they are. A mark stands for each of those, and they follow from the conversation hash in their order. So two lists with the
/// same conversation hash and the same form are the same.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) out: Feed,
    /// Strings and containers so far.
    values: usize,
    /// Whether a message has none.
    pub(super) is_lost: bool,
}

impl Form {
    /// The next string of the conversation hash.
    pub(super) const SAME: u8 = b'=';
    /// A text of a block, other than the next string of the conversation hash. Its exact form follows.
    pub(super) const CUT: u8 = b't';
    /// A content that is a text, as in the next block of the conversation hash.
    pub(super) const SAME_CONTENT: u8 = b'c';
    /// The same, with other text than the block's. Its exact form follows.
    pub(super) const CUT_CONTENT: u8 = b'r';

    /// An object that the conversation hash has nothing of. Its exact form follows.
    const LEFT_OUT: u8 = b'k';

    pub(super) fn clear(&mut self) {
        self.out.forget();
        (self.values, self.is_lost) = (0, false);
    }

    /// A member that the conversation hash leaves out.
    pub(super) fn push_member<'t>(&mut self, key: &Key<'_>, value: Value, text: Text<'t, '_>, open: &mut Open<'t>) {
        self.out.push_key(key);
        self.is_lost |= text.feed_exact(value, open, &mut self.out).is_err();
    }

    /// A block or an item that the conversation hash leaves out.
    pub(super) fn push_left_out<'t>(&mut self, object: Value, text: Text<'t, '_>, open: &mut Open<'t>) {
        self.out.push_byte(Self::LEFT_OUT);
        self.is_lost |= text.feed_exact(object, open, &mut self.out).is_err();
    }

    /// Notes how many values messages have. More than a call may have in all are too many for the cache, too.
    pub(super) fn count(&mut self, values: usize) {
        self.values += values;
        self.is_lost |= self.values > Tape::MOST;
    }

    pub(super) fn finish(mut self) -> Option<[u8; 32]> {
        (!self.is_lost).then(|| self.out.finish())
    }
}
