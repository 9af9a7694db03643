//! The calls of a batch: one under `params` of each of its `requests`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::CallAt;
use super::key::{Key, Place};
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

/// A batch, with the calls found in it so far.
pub(super) struct Batch<'de, 'c> {
    pub(super) endpoint: Endpoint,
    pub(super) members: BatchMembers,
    pub(super) place: Place<'de>,
    pub(super) calls: &'c mut Calls,
}

impl<'de> Visitor<'de> for Batch<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = Key::next(&mut map, self.place)? {
            match key.end.next_token() {
                (Some(b'['), place) if key.is(self.members.requests).is_some() => {
                    let (endpoint, members) = (self.endpoint, self.members);
                    map.next_value_seed(Requests { endpoint, members, place, calls: &mut *self.calls })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The list of a batch's requests.
struct Requests<'de, 'c> {
    endpoint: Endpoint,
    members: BatchMembers,
    place: Place<'de>,
    calls: &'c mut Calls,
}

impl<'de> DeserializeSeed<'de> for Requests<'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Requests<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the requests of a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { endpoint, members, place, calls } = self;
        let mut number = 0;
        while list.next_element_seed(Request { endpoint, members, place, number, calls: &mut *calls })?.is_some() {
            number += 1;
        }
        Ok(())
    }
}

/// One request of a batch, which holds its call under `params`.
struct Request<'de, 'c> {
    endpoint: Endpoint,
    members: BatchMembers,
    place: Place<'de>,
    number: usize,
    calls: &'c mut Calls,
}

impl<'de> DeserializeSeed<'de> for Request<'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} of the batch to be an object", self.number)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = Key::next(&mut map, self.place)? {
            match key.end.next_token() {
                (Some(b'{'), place) if key.is(self.members.call).is_some() => {
                    if let Some(why) = self.calls.full() {
                        return Err(A::Error::custom(why));
                    }
                    let (endpoint, repeats) = (self.endpoint, &mut self.calls.repeats);
                    let call = map.next_value_seed(CallAt { endpoint, place, turns: None, repeats })?;
                    self.calls.push(CallFacts { place: Some(self.number), ..call });
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
