//! The messages of a call as a stream of bytes under one hash, which takes many chunks of it at once. Where the hash of an earlier
//! call ends, it is looked at on the way.

use json_tape::{Feed, Open, Text, Value};
use log::debug;

use super::Earlier;
use super::canonical::{self, Unread};
use super::form::Form;
use super::turns::Turns;

/// The messages of a call as a stream of bytes under one hash.
pub(super) struct Stream<'h, 't> {
    hash: &'h mut Feed,
    form: Option<&'h mut Form>,
    messages: &'h [&'t [u8]],
    open: Open<'t>,
    count: usize,
    turns: Turns,
    /// Of the call's own messages, where those are not all.
    own: Option<[u8; 32]>,
    /// Of those of the earlier call.
    earlier: Option<[u8; 32]>,
}

/// The hashes of a list of messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct HashedList {
    /// Of all of them.
    pub(super) all: [u8; 32],
    /// See [`ConversationHash`](super::ConversationHash).
    pub(super) messages: [u8; 32],
    pub(super) earlier: Option<Earlier>,
}

impl<'h, 't> Stream<'h, 't> {
    /// What it begins with, so that other formats have other hashes.
    const FORMAT: &'static [u8] = b"tollgate conversation 2\n";
    /// Stands before a message that is hashed as it is written, and behind what was hashed of it before. No value begins with it.
    const AS_WRITTEN: u8 = b'w';

    pub(super) fn new(hash: &'h mut Feed, form: Option<&'h mut Form>, messages: &'h [&'t [u8]]) -> Self {
        hash.push(Self::FORMAT);
        Self {
            hash,
            form,
            messages,
            open: Open::default(),
            count: 0,
            turns: Turns::of(messages),
            own: None,
            earlier: None,
        }
    }

    /// Hashes the next message. Whether it is within the bounds.
    pub(super) fn push(&mut self, read: Result<(Text<'t, '_>, Value), Unread>) -> bool {
        if self.turns.own == self.count {
            self.own = Some(self.hash.peek());
        }
        if self.turns.answer.as_ref().is_some_and(|answer| answer.start == self.count) {
            self.earlier = Some(self.own.unwrap_or_else(|| self.hash.peek()));
        }
        let message = self.messages[self.count];
        self.count += 1;
        let write = |read| canonical::write(read, &mut self.open, self.hash, self.form.as_deref_mut());
        match read.and_then(write) {
            Ok(()) => true,
            Err(Unread::AsWritten) => {
                // nothing that a model could read either, but a message like others
                self.hash.push_byte(Self::AS_WRITTEN);
                self.hash.push(&(message.len() as u64).to_le_bytes());
                self.hash.push(message);
                if let Some(form) = &mut self.form {
                    form.is_lost = true;
                }
                true
            }
            Err(Unread::TooMany) => {
                debug!(bytes = message.len(); "a message has too many values to be hashed; its call has no place in a conversation");
                false
            }
        }
    }

    /// Notes how many values messages have.
    pub(super) fn count(&mut self, values: usize) {
        if let Some(form) = &mut self.form {
            form.count(values);
        }
    }

    /// The hashes of the list; none of an empty one.
    pub(super) fn finish(self) -> Option<HashedList> {
        if self.messages.is_empty() {
            return None;
        }
        let all = self.hash.finish();
        let earlier = self.earlier.map(|messages| Earlier::Turn { messages, words: self.turns.words(self.messages) });
        Some(HashedList { all, messages: self.own.unwrap_or(all), earlier })
    }
}
