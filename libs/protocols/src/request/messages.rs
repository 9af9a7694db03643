//! The messages of a call: how many, which of them are the system's, and whether the last asks only for a quota.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::conversation::ConversationHasher;
use crate::slot::{Extractor, Pattern, Slot};

/// How long a message may be that asks for nothing but a quota.
const LONGEST_QUOTA: usize = 1024;

/// A list of messages, which become the turns of a conversation where one is wanted.
pub(super) struct Messages<'t> {
    pub(super) turns: Option<&'t mut ConversationHasher>,
}

/// What a list of messages holds.
#[derive(Default)]
pub(super) struct MessageFacts<'de> {
    pub(super) count: usize,
    /// The last message, as JSON.
    pub(super) last: Option<&'de str>,
    /// Messages of the system's, or a developer's.
    pub(super) system: usize,
    /// Whether the last user's text is `quota`.
    pub(super) asks_quota: bool,
}

impl<'de> DeserializeSeed<'de> for Messages<'_> {
    type Value = MessageFacts<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<MessageFacts<'de>, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Messages<'_> {
    type Value = MessageFacts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<MessageFacts<'de>, A::Error> {
        if let Some(turns) = &mut self.turns {
            // of a key that stands twice the last counts
            turns.clear();
        }
        let mut held = MessageFacts::default();
        let mut last_of_user = None;
        let mut role = Extractor::until(ROLE, Slot::Role);
        while let Some(message) = list.next_element::<&'de RawValue>()? {
            let message = message.get();
            held.count += 1;
            held.last = Some(message);
            if let Some(turns) = &mut self.turns {
                turns.push(message);
            }
            role.begin();
            role.feed(message.as_bytes());
            match role.get(Slot::Role) {
                Some(br#""system""# | br#""developer""#) => held.system += 1,
                Some(br#""user""#) => last_of_user = Some(message),
                _ => {}
            }
        }
        held.asks_quota = last_of_user.is_some_and(|message| {
            let mut content = Extractor::new(CONTENT);
            if message.len() <= LONGEST_QUOTA {
                content.feed(message.as_bytes());
            }
            content.get(Slot::Text).and_then(|text| std::str::from_utf8(text).ok()).is_some_and(is_quota)
        });
        Ok(held)
    }
}

const ROLE: &[(&str, Pattern)] = &[("role", Pattern::Value(Slot::Role))];
const CONTENT: &[(&str, Pattern)] = &[("content", Pattern::Value(Slot::Text))];

/// Whether a value is the text `quota`: as a string, or as a list of one block of text.
pub(super) fn is_quota(value: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Block {
        text: String,
    }
    if value.len() > LONGEST_QUOTA {
        return false;
    }
    let text = match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str(value).ok(),
        Some(b'[') => serde_json::from_str::<[Block; 1]>(value).ok().map(|[block]| block.text),
        _ => None,
    };
    text.is_some_and(|text: String| text.trim().eq_ignore_ascii_case("quota"))
}
