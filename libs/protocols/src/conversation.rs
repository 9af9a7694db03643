//! The messages of a call as hashes: the conversation hash, by which a call finds the one it continues, and the digest, which
//! tells apart all messages that differ. Both come of one reading, and each text is hashed once.
//!
//! The conversation hash ignores what clients change in a message from one call to the next: the order of keys, white space,
//! the place of `cache_control`, whether a text is a string or a block, and the reminders that Claude Code puts into the last
//! message. What it ignores goes into the digest.
//!
//! All messages are one stream of bytes under one hash, which takes many chunks of it at once. A message is hashed without a copy
//! of it; at most one of its strings is decoded at a time.

mod canonical;
mod form;
mod stream;
#[cfg(test)]
mod tests;
mod turns;

use std::ops::Range;

use json_tape::{Fault, Feed, Reader, Tape};

use canonical::Unread;
use form::Form;
use stream::{HashedList, Stream};

/// A call's place in a conversation, by hashes of its list of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConversationHash {
    /// Of its messages, and of the answer that it names, if it names one. Without those of the model at their end, which an answer
    /// goes on with.
    pub messages: [u8; 32],
    /// The earlier call that it goes on from; none where it begins.
    pub earlier: Option<Earlier>,
}

/// The call that another goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Earlier {
    /// The one with these messages, by their hash, whose answer had [these words](crate::Answer::words), as far as they are known.
    Turn {
        /// [`ConversationHash::messages`].
        messages: [u8; 32],
        /// The hash of what the model said.
        words: Option<[u8; 32]>,
    },
    /// The one with this answer: [`ConversationHash::of_answer`].
    Answer([u8; 32]),
}

impl ConversationHash {
    /// [`messages`](Self::messages) of a call that begins with this text of a user's.
    #[must_use]
    pub fn of_first_message(text: &str) -> Option<[u8; 32]> {
        let mut hasher = ConversationHasher::new(Hashing::Conversation)?;
        let list = serde_json::json!([{ "role": "user", "content": text }]).to_string();
        hasher.read(&mut Reader::new(&list, 0), |_| {}).ok()?;
        hasher.list.map(|list| list.messages)
    }

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
    /// The hash of all of them, as a conversation sees them.
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

/// Hashes the messages of a call.
#[derive(Debug, Default)]
pub(crate) struct ConversationHasher {
    /// Hashes of the list. `None` for an empty list and for one beyond the bounds.
    list: Option<HashedList>,
    /// Of the answer that the call goes on from.
    answer: Option<[u8; 32]>,
    /// Whether the list is beyond the bounds: the call then has no hashes.
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

    /// Reads the list of messages that comes next, in place of one before, and shows each as JSON.
    ///
    /// # Errors
    /// That it is no list.
    pub(crate) fn read<'t>(&mut self, reader: &mut Reader<'t>, mut each: impl FnMut(&'t [u8])) -> Result<(), Fault> {
        self.clear();
        let start = reader.at();
        let Self { tape, hash, form, .. } = self;
        let mut messages = Vec::new();
        let length = match reader.noted(tape, canonical::DEEPEST + 1)? {
            Some(text) => {
                let list = text.root();
                let mut count = 0;
                for message in text.items(list) {
                    each(text.raw(message));
                    count += 1;
                    if count <= Tape::MOST {
                        messages.push(text.raw(message));
                    }
                }
                if let Some(form) = form {
                    form.count(text.values());
                }
                let mut stream = Stream::new(hash, form.as_mut(), &messages);
                let is_read =
                    count == messages.len() && text.items(list).all(|message| stream.push(Ok((text, message))));
                self.list = if is_read { stream.finish() } else { None };
                text.raw(list).len()
            }
            // beyond the bounds of a tape, but each message may be within them
            None => {
                let list = reader.value()?;
                let mut items = Reader::new(list, 0);
                items.list()?;
                let mut count = 0;
                while items.item()? {
                    let message = items.value()?.as_bytes();
                    each(message);
                    count += 1;
                    if count <= Tape::MOST {
                        messages.push(message);
                    }
                }
                let mut stream = Stream::new(hash, form.as_mut(), &messages);
                let is_read = count == messages.len()
                    && messages.iter().all(|message| {
                        let read = tape.read(message, canonical::DEEPEST);
                        stream.count(read.as_ref().map_or(0, |text| text.values()));
                        stream.push(read.map(|text| (text, text.root())).map_err(Unread::from))
                    });
                self.list = if is_read { stream.finish() } else { None };
                list.len()
            }
        };
        self.is_out = self.list.is_none() && !messages.is_empty();
        self.at = Some(start..start + length);
        Ok(())
    }

    /// Begins anew.
    fn clear(&mut self) {
        (self.list, self.is_out, self.at) = (None, false, None);
        self.hash.forget();
        if let Some(form) = &mut self.form {
            form.clear();
        }
    }

    /// The call continues the answer with this `id`, or none. The last call of this wins.
    pub(crate) fn goes_on_from(&mut self, id: Option<&str>) {
        self.answer = id.map(ConversationHash::of_answer);
    }

    /// The hashes of a call with these messages.
    pub(crate) fn finish(mut self) -> MessageHashes {
        if self.is_out {
            return MessageHashes::default();
        }
        if let Some(answer) = self.answer {
            // the new messages alone would be those of any conversation that begins with them
            self.hash.forget();
            self.hash.push(&answer);
            self.hash.push(&self.list.map_or([0; 32], |list| list.all));
            let conversation =
                ConversationHash { messages: self.hash.finish(), earlier: Some(Earlier::Answer(answer)) };
            return MessageHashes { conversation: Some(conversation), digest: None };
        }
        let Some(HashedList { all, messages, earlier }) = self.list else { return MessageHashes::default() };
        let form = self.form.and_then(Form::finish);
        let digest = self.at.zip(form).map(|(at, form)| MessagesDigest { at, turn: all, form });
        MessageHashes { conversation: Some(ConversationHash { messages, earlier }), digest }
    }
}
