//! A call's place in a conversation: its messages as hashes, so that a call finds the one that it goes on from.
//!
//! What clients change in a message from one call to the next does not count: the order of keys, white space, where they put
//! `cache_control`, whether a text is a string or a block, and the reminders that Claude Code puts into the last message.

use std::borrow::Cow;
use std::fmt;

use plugin_api::Thread;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The messages of a call so far, as hashes of each list that begins with the first.
#[derive(Debug, Default)]
pub(super) struct Turns {
    count: usize,
    /// Of all of them, of all but the last, and of all but the last two.
    lists: [[u8; 32]; 3],
    text: Vec<u8>,
}

impl Turns {
    /// The next message, as JSON.
    pub(super) fn push(&mut self, message: &str) {
        self.text.clear();
        let mut reader = serde_json::Deserializer::from_str(message);
        if (Canonical { out: &mut self.text, place: Place::Message }).deserialize(&mut reader).is_err() {
            // nothing that a model could read either, but a message like others
            self.text.clear();
            self.text.extend_from_slice(message.as_bytes());
        }
        let mut hash = blake3::Hasher::new();
        hash.update(&self.lists[0]);
        hash.update(&self.text);
        self.lists = [hash.finalize().into(), self.lists[0], self.lists[1]];
        self.count += 1;
    }

    /// The place of a call with these messages; none without any.
    pub(super) fn thread(&self) -> Option<Thread> {
        let previous = (self.count >= 3).then_some(self.lists[2]);
        (self.count > 0).then_some(Thread { turn: self.lists[0], previous })
    }
}

/// Writes a value so that what means the same is written the same, and nothing else is.
struct Canonical<'o> {
    out: &'o mut Vec<u8>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    /// The content of a message: a text, or a list of blocks.
    Content,
    Block,
    /// The text of a block.
    Text,
    Elsewhere,
}

impl Canonical<'_> {
    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, kind: u8, bits: u64) {
        self.out.push(kind);
        self.out.extend_from_slice(&bits.to_le_bytes());
    }
}

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.push(b'n');
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.out.push(if value { b't' } else { b'f' });
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.number(b'u', value);
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.number(b'i', value.cast_unsigned());
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.number(b'd', value.to_bits());
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        match self.place {
            Place::Content => {
                let text = without_reminders(text);
                self.out.push(b'[');
                if !text.trim().is_empty() {
                    // as the block below writes itself
                    self.out.push(b'{');
                    self.text("text");
                    self.text(&text);
                    self.text("type");
                    self.text("text");
                    self.out.push(b'}');
                }
                self.out.push(b']');
            }
            Place::Text => self.text(&without_reminders(text)),
            Place::Message | Place::Block | Place::Elsewhere => self.text(text),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let place = if self.place == Place::Content { Place::Block } else { Place::Elsewhere };
        self.out.push(b'[');
        loop {
            let from = self.out.len();
            if list.next_element_seed(Canonical { out: &mut *self.out, place })?.is_none() {
                break;
            }
            if place == Place::Block && is_blank_text(&self.out[from..]) {
                self.out.truncate(from);
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let from = self.out.len();
        let mut members: Vec<(Cow<'de, str>, std::ops::Range<usize>)> = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "cache_control" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let place = match (self.place, &*key) {
                (Place::Message, "content") => Place::Content,
                (Place::Block, "text") => Place::Text,
                _ => Place::Elsewhere,
            };
            let start = self.out.len();
            self.text(&key);
            map.next_value_seed(Canonical { out: &mut *self.out, place })?;
            members.push((key, start..self.out.len()));
        }
        if !members.is_sorted_by(|one, next| one.0 < next.0) {
            members.sort_by(|one, next| one.0.cmp(&next.0));
            let unsorted = self.out.split_off(from);
            for (_, at) in members {
                self.out.extend_from_slice(&unsorted[at.start - from..at.end - from]);
            }
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Whether a block, as it was written, is one of text with nothing in it.
fn is_blank_text(block: &[u8]) -> bool {
    let mut blank = Vec::with_capacity(64);
    let mut canonical = Canonical { out: &mut blank, place: Place::Elsewhere };
    canonical.out.push(b'{');
    canonical.text("text");
    let Some(rest) = block.strip_prefix(&*blank) else { return false };
    let Some((length, rest)) = rest.strip_prefix(b"\"").and_then(|rest| rest.split_first_chunk::<8>()) else {
        return false;
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let text = rest.get(..length).and_then(|text| std::str::from_utf8(text).ok());
    text.is_some_and(|text| text.trim().is_empty())
}

/// A text without the reminders in it, and the white space before them.
fn without_reminders(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "<system-reminder>";
    const END: &str = "</system-reminder>";
    let mut rest = text;
    let mut kept = String::new();
    while let Some(begin) = rest.find(BEGIN) {
        let Some(end) = rest[begin..].find(END) else { break };
        kept.push_str(rest[..begin].trim_end());
        rest = &rest[begin + end + END.len()..];
    }
    if kept.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(messages: &[&str]) -> Thread {
        let mut turns = Turns::default();
        messages.iter().for_each(|message| turns.push(message));
        turns.thread().unwrap()
    }

    const HELLO: &str = r#"{"role":"user","content":"hello"}"#;
    const HI: &str = r#"{"role":"assistant","content":[{"type":"text","text":"hi"}]}"#;
    const AND: &str = r#"{"role":"user","content":"and?"}"#;

    #[test]
    fn a_call_goes_on_from_the_one_before_its_last_two_messages() {
        let first = thread(&[HELLO]);
        assert_eq!(first.previous, None);
        assert_eq!(thread(&[HELLO, HI]).previous, None);
        let second = thread(&[HELLO, HI, AND]);
        assert_eq!(second.previous, Some(first.turn));
        assert_eq!(thread(&[HELLO, HI, AND, HI, AND]).previous, Some(second.turn));
        assert!(Turns::default().thread().is_none());
    }

    #[test]
    fn what_clients_change_between_calls_does_not_count() {
        for same in [
            r#"{ "content" : "hello", "role":"user" }"#,
            r#"{"role":"user","content":"\u0068ello"}"#,
            r#"{"role":"user","content":[{"type":"text","text":"hello"}]}"#,
            r#"{"role":"user","content":[{"text":"hello","cache_control":{"type":"ephemeral"},"type":"text"}]}"#,
            r#"{"role":"user","content":"hello\n<system-reminder>\nmind</system-reminder>"}"#,
            r#"{"role":"user","content":[{"type":"text","text":"<system-reminder>a</system-reminder>"},
                {"type":"text","text":"hello"}]}"#,
        ] {
            assert_eq!(thread(&[same]), thread(&[HELLO]), "{same}");
        }
    }

    #[test]
    fn anything_else_is_another_message() {
        let mut seen = vec![thread(&[HELLO]).turn];
        for other in [
            r#"{"role":"user","content":"hello "}"#,
            r#"{"role":"assistant","content":"hello"}"#,
            r#"{"role":"user","content":["hello"]}"#,
            r#"{"role":"user","content":[{"type":"text","text":"hel"},{"type":"text","text":"lo"}]}"#,
            r#"{"role":"user","content":[{"type":"image","text":"hello"}]}"#,
            r#"{"role":"user","content":"hello <system-reminder>"}"#,
            r#"{"role":"user","content":"hello","n":1}"#,
            r#"{"role":"user","content":"hello","n":1.0}"#,
            r#"{"role":"user","content":"hello","n":"1"}"#,
            r#"{"role":"user","content":"hello","n":1e400}"#,
            r#"{"role":"user","content":"\ud800"}"#,
            "7",
        ] {
            let turn = thread(&[other]).turn;
            assert!(!seen.contains(&turn), "{other}");
            seen.push(turn);
        }
    }
}
