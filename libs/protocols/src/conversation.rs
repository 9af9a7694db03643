//! A call's place in a conversation: its messages as hashes, so that a call finds the one that it goes on from.
//!
//! What clients change in a message from one call to the next does not count: the order of keys, white space, where they put
//! `cache_control`, whether a text is a string or a block, and the reminders that Claude Code puts into the last message.
//!
//! A message is hashed without a copy of it, so that the memory which that takes does not grow with it.

use std::borrow::Cow;

use json_tape::{Fault, Feed, Kind, Open, Str, Tape, Text, Value};
use log::debug;
use memchr::memmem;

/// How deep a message may be nested to be read. A deeper one is hashed as it is written.
const DEEPEST: usize = 127;
/// How many bytes of a string with escapes are decoded at once, rather than twice.
const AT_ONCE: usize = 64 << 10;

/// A call's place in a conversation, by hashes of its list of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConversationHash {
    /// Of all its messages.
    pub turn: [u8; 32],
    /// Of all but the last two, which an earlier call had as its own; none where there are fewer than three.
    pub previous: Option<[u8; 32]>,
}

/// The messages of a call so far, as hashes of each list that begins with the first.
#[derive(Debug, Default)]
pub struct ConversationHasher {
    count: usize,
    /// Of all of them, of all but the last, and of all but the last two.
    lists: [[u8; 32]; 3],
    /// Whether one was beyond the bounds, so that the call has no place.
    is_out: bool,
    tape: Tape,
    hash: Feed,
}

impl ConversationHasher {
    /// Begins anew.
    pub fn clear(&mut self) {
        (self.count, self.lists, self.is_out) = (0, Default::default(), false);
    }

    /// The next message, as JSON.
    pub fn push(&mut self, message: &str) {
        if self.is_out {
            return;
        }
        self.hash.push(&self.lists[0]);
        match write(message, &mut self.tape, &mut self.hash) {
            Ok(()) => {}
            Err(Unread::AsWritten) => {
                // nothing that a model could read either, but a message like others
                self.hash.forget();
                self.hash.push(&self.lists[0]);
                self.hash.push(message.as_bytes());
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

    /// The place of a call with these messages; none without any, and none where one is beyond the bounds.
    #[must_use]
    pub fn finish(&self) -> Option<ConversationHash> {
        let previous = (self.count >= 3).then_some(self.lists[2]);
        (self.count > 0 && !self.is_out).then_some(ConversationHash { turn: self.lists[0], previous })
    }
}

/// Why a message is not read.
enum Unread {
    /// It is no JSON that could be read with certainty.
    AsWritten,
    /// It has more values than are read.
    TooMany,
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken | Fault::TooDeep => Self::AsWritten,
            Fault::TooMany => Self::TooMany,
        }
    }
}

fn write(message: &str, tape: &mut Tape, out: &mut Feed) -> Result<(), Unread> {
    let text = tape.read(message.as_bytes(), DEEPEST)?;
    let mut canonical = Canonical { text, open: Open::default(), out, scratch: Vec::new() };
    canonical.value(text.root(), Place::Message)?;
    Ok(())
}

/// Writes a value so that what means the same is written the same, and nothing else is.
struct Canonical<'t, 'o> {
    text: Text<'t, 'o>,
    open: Open<'t>,
    out: &'o mut Feed,
    /// A string whose escapes are resolved.
    scratch: Vec<u8>,
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

impl<'t> Canonical<'t, '_> {
    fn value(&mut self, value: Value, place: Place) -> Result<(), Unread> {
        match (self.text.kind(value), place) {
            (Kind::Object, _) => self.object(value, place),
            (Kind::List, Place::Content) => self.list(value, Place::Block),
            (Kind::List, _) => self.list(value, Place::Elsewhere),
            (Kind::String(string), Place::Content) => self.content(string),
            (Kind::String(string), Place::Text) => {
                self.string(&without_reminders(&said(string)?));
                Ok(())
            }
            (Kind::String(string), _) => self.any_string(string),
            (Kind::Word(word), _) => self.word(word),
        }
    }

    /// A content that is a text, as the one block would be written that says the same.
    fn content(&mut self, string: Str<'t>) -> Result<(), Unread> {
        let said = said(string)?;
        let text = without_reminders(&said);
        self.out.push(b"[");
        if !text.trim().is_empty() {
            self.out.push(b"{");
            for text in ["text", &text, "type", "text"] {
                self.string(text);
            }
            self.out.push(b"}");
        }
        self.out.push(b"]");
        Ok(())
    }

    fn list(&mut self, list: Value, place: Place) -> Result<(), Unread> {
        self.out.push(b"[");
        for item in self.text.items(list) {
            self.value(item, place)?;
        }
        self.out.push(b"]");
        Ok(())
    }

    /// An object; nothing of a block of text with nothing in it.
    fn object(&mut self, object: Value, place: Place) -> Result<(), Unread> {
        let members = self.text.sorted(object, &mut self.open)?;
        let mut has_begun = false;
        for at in members.clone() {
            let key = self.open.take_key(at);
            let value = self.open.get(at).value;
            if *key == *b"cache_control" {
                continue;
            }
            let key = std::str::from_utf8(&key).map_err(|_| Unread::AsWritten)?;
            let place = match (place, key) {
                (Place::Message, "content") => Place::Content,
                (Place::Block, "text") => Place::Text,
                _ => Place::Elsewhere,
            };
            if let (false, Place::Text, Kind::String(string)) = (has_begun, place, self.text.kind(value)) {
                let said = said(string)?;
                let text = without_reminders(&said);
                if text.trim().is_empty() {
                    self.open.close(members);
                    return Ok(());
                }
                self.begin(&mut has_begun);
                self.string(key);
                self.string(&text);
                continue;
            }
            self.begin(&mut has_begun);
            self.string(key);
            self.value(value, place)?;
        }
        self.begin(&mut has_begun);
        self.out.push(b"}");
        self.open.close(members);
        Ok(())
    }

    fn begin(&mut self, has_begun: &mut bool) {
        if !std::mem::replace(has_begun, true) {
            self.out.push(b"{");
        }
    }

    /// A string that is no text for a model to read.
    fn any_string(&mut self, string: Str<'_>) -> Result<(), Unread> {
        if !string.has_escapes() {
            self.bytes(string.raw());
            return Ok(());
        }
        if string.raw().len() <= AT_ONCE {
            self.scratch.clear();
            let scratch = &mut self.scratch;
            if !string.decode(|piece| scratch.extend_from_slice(piece))? {
                return Err(Unread::AsWritten);
            }
            self.length(self.scratch.len());
            self.out.push(&self.scratch);
            return Ok(());
        }
        // its length stands before it
        let mut length = 0;
        if !string.decode(|piece| length += piece.len())? {
            return Err(Unread::AsWritten);
        }
        self.length(length);
        string.decode(|piece| self.out.push(piece))?;
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, text: &[u8]) {
        self.length(text.len());
        self.out.push(text);
    }

    fn length(&mut self, length: usize) {
        let mut bytes = [b'"'; 9];
        bytes[1..].copy_from_slice(&(length as u64).to_le_bytes());
        self.out.push(&bytes);
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Unread> {
        match word {
            b"null" => self.out.push(b"n"),
            b"true" => self.out.push(b"t"),
            b"false" => self.out.push(b"f"),
            number => {
                let (kind, bits) = number_bits(number).ok_or(Unread::AsWritten)?;
                let mut bytes = [kind; 9];
                bytes[1..].copy_from_slice(&bits.to_le_bytes());
                self.out.push(&bytes);
            }
        }
        Ok(())
    }
}

/// A number's kind and value: whole as long as it fits, else the nearest float.
fn number_bits(number: &[u8]) -> Option<(u8, u64)> {
    if number.len() < 19 && number.iter().all(u8::is_ascii_digit) {
        let digit = |value: u64, digit: &u8| value * 10 + u64::from(digit - b'0');
        return Some((b'u', number.iter().fold(0, digit)));
    }
    let number: serde_json::Number = serde_json::from_slice(number).ok()?;
    let whole = number.as_u64().map(|value| (b'u', value));
    let negative = || number.as_i64().map(|value| (b'i', value.cast_unsigned()));
    whole.or_else(negative).or_else(|| number.as_f64().map(|value| (b'd', value.to_bits())))
}

/// What a string says, if that is text.
fn said(string: Str<'_>) -> Result<Cow<'_, str>, Unread> {
    match string.decoded()? {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Unread::AsWritten),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Unread::AsWritten),
    }
}

/// A text without the reminders in it, and the white space before them.
fn without_reminders(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "<system-reminder>";
    const END: &str = "</system-reminder>";
    let mut rest = text;
    let mut kept = String::new();
    while let Some(begin) = memmem::find(rest.as_bytes(), BEGIN.as_bytes()) {
        let Some(end) = memmem::find(&rest.as_bytes()[begin..], END.as_bytes()) else { break };
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

    fn thread(messages: &[&str]) -> ConversationHash {
        let mut turns = ConversationHasher::default();
        messages.iter().for_each(|message| turns.push(message));
        turns.finish().unwrap()
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
        assert!(ConversationHasher::default().finish().is_none());
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
    fn the_rows_that_are_kept_know_a_message_by_the_same_hash() {
        let hex = |message| thread(&[message]).turn.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (message, hash) in [
            (HELLO, "50095cea2076faa9ddff481e5ccaa3a6b021cd8c1f88103ca1653dbfb67b70f5"),
            (
                r#"{"role":"assistant","content":[{"type":"text","text":"hi\n"},{"type":"tool_use","id":"t","name":"f",
                    "input":{"b":[1,-2,0.5,true,null],"a":"\u00e9"}}]}"#,
                "4f02c8cc82ad65706d7e0a7611dc7675af528a1931cab0c89a0d041f01c01cd6",
            ),
            (
                r#"{"role":"user","content":"\ud800"}"#,
                "b7fc67c4b3e990d2d4dc6f74373003d22b9e10fced0906b886719bf93b3c0c54",
            ),
        ] {
            assert_eq!(hex(message), hash, "{message}");
        }
    }

    #[test]
    fn a_long_string_is_the_same_however_it_is_written() {
        let plain = "ab ".repeat(AT_ONCE);
        let escaped = "\\u0061b ".repeat(AT_ONCE);
        for content in ["{}", r#"[{"type":"tool_result","content":{}}]"#, r#"[{"type":"text","text":{}}]"#] {
            let message = |string: &str| {
                format!(r#"{{"role":"user","content":{}}}"#, content.replace("{}", &format!("\"{string}\"")))
            };
            assert_eq!(thread(&[&message(&escaped)]), thread(&[&message(&plain)]), "{content}");
        }
    }

    #[test]
    fn a_message_beyond_the_bounds_leaves_its_call_without_a_place() {
        let keys = (0..=Open::MOST).map(|key| format!("\"{key}\":1")).collect::<Vec<_>>().join(",");
        let many = format!(r#"{{"role":"user","content":[{{{keys}}}]}}"#);
        let mut turns = ConversationHasher::default();
        for message in [HELLO, &many, HELLO] {
            turns.push(message);
        }
        assert!(turns.finish().is_none());
        turns.clear();
        turns.push(HELLO);
        assert_eq!(turns.finish(), Some(thread(&[HELLO])));
        // nested too deep to be read, it is hashed as it is written
        let deep = format!(r#"{{"role":"user","content":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert_ne!(thread(&[&deep]), thread(&[&deep.replace("[[", "[ [")]));
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
