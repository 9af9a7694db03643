//! The calls of a batch: one under `params` of each of its `requests`.

use json_tape::Reader;

use super::key::Key;
use super::{Unread, call};
use crate::endpoint::{BatchMembers, Endpoint};
use crate::facts::CallFacts;

/// How many calls a batch may hold; Anthropic's own bound.
const MOST_CALLS: usize = 100_000;
/// So many calls may be of any size. Of more than that, each has so many bytes of the text on average: its facts take some eight
/// times as many, and a call that any server takes has more.
const ANY_SIZE: usize = 10_000;
const LEAST: usize = 32;

/// The calls found in a batch so far.
pub(super) struct Calls {
    pub(super) found: Vec<CallFacts>,
    /// How many there may be, by the length of the text.
    most: usize,
    repeats: usize,
}

impl Calls {
    pub(super) fn in_text(text: &str) -> Self {
        Self { found: Vec::new(), most: (ANY_SIZE + text.len() / LEAST).min(MOST_CALLS), repeats: 0 }
    }

    /// Adds one. Beyond [`ANY_SIZE`] there is room for the most calls at once: a list that grows would have its megabytes twice while
    /// it moves, and memory that is not written to costs nothing.
    fn push(&mut self, call: CallFacts) {
        if self.found.len() == ANY_SIZE {
            self.found.reserve_exact(self.most.saturating_sub(ANY_SIZE));
        }
        self.found.push(call);
    }

    /// Whether one more is too many; why.
    fn full(&self) -> Option<String> {
        match self.found.len() {
            MOST_CALLS => Some(format!("its batch holds more than {MOST_CALLS} calls")),
            held if held == self.most => {
                Some(format!("its batch holds more than {held} calls of fewer than {LEAST} bytes"))
            }
            _ => None,
        }
    }
}

/// Reads a batch, and adds the calls in it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    endpoint: Endpoint,
    members: BatchMembers,
    calls: &mut Calls,
) -> Result<(), Unread> {
    reader.object()?;
    while let Some(key) = Key::next(reader)? {
        if reader.peek() != Some(b'[') || key.is(members.requests).is_none() {
            reader.value()?;
            continue;
        }
        reader.list()?;
        let mut number = 0;
        while reader.item()? {
            request(reader, endpoint, members, number, calls)?;
            number += 1;
        }
    }
    Ok(())
}

/// Reads one request of a batch, which holds its call under `params`.
fn request(
    reader: &mut Reader<'_>,
    endpoint: Endpoint,
    members: BatchMembers,
    number: usize,
    calls: &mut Calls,
) -> Result<(), Unread> {
    if reader.peek() != Some(b'{') {
        let value: String = reader.value()?.chars().take(100).collect();
        return Err(Unread::Because(format!("request {number} of its batch is no object but {value}")));
    }
    reader.object()?;
    while let Some(key) = Key::next(reader)? {
        if reader.peek() != Some(b'{') || key.is(members.call).is_none() {
            reader.value()?;
            continue;
        }
        if let Some(why) = calls.full() {
            return Err(Unread::Because(why));
        }
        let call = call(reader, endpoint, None, &mut calls.repeats)?;
        calls.push(CallFacts { place: Some(number), ..call });
    }
    Ok(())
}
