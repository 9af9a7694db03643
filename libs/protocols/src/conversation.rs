//! The messages of a call as hashes: the conversation hash, by which a call finds the one it continues, and the digest, which
//! tells apart all messages that differ. Both come of one reading, and each text is hashed once.
//!
//! The conversation hash ignores what clients change in a message from one call to the next: the order of keys, white space,
//! the place of `cache_control`, whether a text is a string or a block, and the reminders that Claude Code puts into the last
//! message. What it ignores goes into the digest.
//!
//! A message is hashed without a copy of it, so the memory for it does not grow with its length.

mod canonical;
#[cfg(test)]
mod tests;

use std::ops::Range;

use json_tape::{Fault, Feed, Open, Tape, Text, Value};
use log::debug;

use canonical::Unread;

/// A call's place in a conversation, by hashes of its list of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConversationHash {
    /// Of all its messages, and of the answer that it names, if it names one.
    pub turn: [u8; 32],
    /// Of all but the last two, which an earlier call had as its own; none where there are fewer than three. Of the answer, where the
    /// call names one: [`of_answer`](Self::of_answer).
    pub previous: Option<[u8; 32]>,
}

impl ConversationHash {
    /// The hash of an earlier call by the `id` of its answer, for calls that send what is new and name that answer
    /// (`previous_response_id`).
    #[must_use]
    pub fn of_answer(id: &str) -> [u8; 32] {
        let mut hash = Feed::default();
        hash.push(b"answer\0");
        hash.push(id.as_bytes());
        hash.finish()
    }
}

/// The messages of a call as a pair of hashes. Lists of messages have equal pairs if they differ in nothing but white space,
/// escapes and the order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagesDigest {
    /// The bytes of the list in the call's text.
    pub at: Range<usize>,
    /// [`ConversationHash::turn`].
    pub turn: [u8; 32],
    /// The hash of what `turn` ignores.
    pub form: [u8; 32],
}

/// The hashes that are wanted of a call's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashing {
    /// None; the messages are skipped.
    #[default]
    Nothing,
    /// The conversation hash.
    Conversation,
    /// The conversation hash and the digest.
    ConversationAndDigest,
}

/// The hashes of a call's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageHashes {
    /// The place in a conversation. `None` where it is not wanted, the endpoint has no turns, there are no messages, or one has
    /// more values than are read.
    pub conversation: Option<ConversationHash>,
    /// The digest. `None` where it is not wanted, `conversation` is `None`, the call goes on from an answer, or a message has no
    /// canonical form: a key stands twice in one of its objects, a string holds half of a surrogate pair, or a number has no finite
    /// value.
    pub digest: Option<MessagesDigest>,
}

/// The messages of a call so far, as hashes of each list that begins with the first.
#[derive(Debug, Default)]
pub(crate) struct ConversationHasher {
    count: usize,
    /// Of all of them, of all but the last, and of all but the last two.
    lists: [[u8; 32]; 3],
    /// Of the answer that the call goes on from.
    answer: Option<[u8; 32]>,
    /// Whether one was beyond the bounds, so that the call has no place.
    is_out: bool,
    tape: Tape,
    hash: Feed,
    form: Option<Form>,
    /// The bytes of the list in the call's text, once it has ended.
    at: Option<Range<usize>>,
}

impl ConversationHasher {
    /// A hasher of what is wanted; none where nothing is.
    pub(crate) fn new(hashing: Hashing) -> Option<Self> {
        match hashing {
            Hashing::Nothing => None,
            Hashing::Conversation => Some(Self::default()),
            Hashing::ConversationAndDigest => Some(Self { form: Some(Form::default()), ..Self::default() }),
        }
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        (self.count, self.lists, self.is_out, self.at) = (0, Default::default(), false, None);
        if let Some(form) = &mut self.form {
            form.clear();
        }
    }

    /// The next message, as JSON.
    pub(crate) fn push(&mut self, message: &str) {
        if self.is_out {
            return;
        }
        self.hash.push(&self.lists[0]);
        match canonical::write(message, &mut self.tape, &mut self.hash, self.form.as_mut()) {
            Ok(()) => {}
            Err(Unread::AsWritten) => {
                // nothing that a model could read either, but a message like others
                self.hash.forget();
                self.hash.push(&self.lists[0]);
                self.hash.push(message.as_bytes());
                if let Some(form) = &mut self.form {
                    form.is_lost = true;
                }
            }
            Err(Unread::TooMany) => {
                debug!(bytes = message.len(); "a message has too many values to be hashed; its call has no place in a conversation");
                self.hash.forget();
                self.is_out = true;
                return;
            }
        }
        self.lists = [self.hash.finish(), self.lists[0], self.lists[1]];
        self.count += 1;
    }

    /// The call goes on from the answer with this `id`, or from none. What it says last counts.
    pub(crate) fn goes_on_from(&mut self, id: Option<&str>) {
        self.answer = id.map(ConversationHash::of_answer);
    }

    /// The list was these bytes of the call's text.
    pub(crate) fn end(&mut self, at: Range<usize>) {
        self.at = Some(at);
    }

    /// The hashes of a call with these messages.
    pub(crate) fn finish(mut self) -> MessageHashes {
        let [turn, _, before_two] = self.lists;
        if self.is_out {
            return MessageHashes::default();
        }
        if let Some(answer) = self.answer {
            // the new messages alone would be those of any conversation that begins with them
            self.hash.push(&answer);
            self.hash.push(&turn);
            let conversation = ConversationHash { turn: self.hash.finish(), previous: Some(answer) };
            return MessageHashes { conversation: Some(conversation), digest: None };
        }
        if self.count == 0 {
            return MessageHashes::default();
        }
        let conversation = ConversationHash { turn, previous: (self.count >= 3).then_some(before_two) };
        let form = self.form.and_then(Form::finish);
        let digest = self.at.zip(form).map(|(at, form)| MessagesDigest { at, turn, form });
        MessageHashes { conversation: Some(conversation), digest }
    }
}

/// What the conversation hash ignores: each message in its exact form, but for the strings that the conversation hash takes as
/// they are. A mark stands for each of those, and they follow from the conversation hash in their order. So two lists with the
/// same conversation hash and the same form are the same.
#[derive(Debug, Default)]
struct Form {
    out: Feed,
    /// Strings and containers so far.
    values: usize,
    /// Whether a message has none.
    is_lost: bool,
}

impl Form {
    /// The next string of the conversation hash.
    const SAME: &'static [u8] = b"=";
    /// A text of a block, other than the next string of the conversation hash. Its exact form follows.
    const CUT: &'static [u8] = b"t";
    /// A content that is a text, as in the next block of the conversation hash.
    const SAME_CONTENT: &'static [u8] = b"c";
    /// The same, with other text than the block's. Its exact form follows.
    const CUT_CONTENT: &'static [u8] = b"r";

    fn clear(&mut self) {
        self.out.forget();
        (self.values, self.is_lost) = (0, false);
    }

    /// A member that the conversation hash leaves out.
    fn push_member<'t>(&mut self, key: &[u8], value: Value, text: Text<'t, '_>, open: &mut Open<'t>) {
        self.out.push_string(key);
        self.is_lost |= text.feed_exact(value, open, &mut self.out).is_err();
    }

    /// Notes how many values a message has. More than a call may have in all are too many for the cache, too.
    fn count(&mut self, values: usize) {
        self.values += values;
        self.is_lost |= self.values > Tape::MOST;
    }

    fn finish(mut self) -> Option<[u8; 32]> {
        (!self.is_lost).then(|| self.out.finish())
    }
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken | Fault::TooDeep | Fault::Duplicate => Self::AsWritten,
            Fault::TooMany => Self::TooMany,
        }
    }
}
