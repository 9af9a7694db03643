//! The canonical form of a message: what means the same in a conversation is written the same, and nothing else is. What it
//! ignores is written to the form beside it, where that is wanted.

use std::borrow::Cow;

use json_tape::{Feed, Kind, Open, Str, Tape, Text, Value};
use memchr::memmem;

use super::Form;

/// How deep a message may be nested to be read. A deeper one is hashed as it is written.
const DEEPEST: usize = 127;
/// How many bytes of a string with escapes are decoded at once, rather than twice.
const AT_ONCE: usize = 64 << 10;

/// Why a message is not read.
pub(super) enum Unread {
    /// It is no JSON that could be read with certainty.
    AsWritten,
    /// It has more values than are read.
    TooMany,
}

/// Writes a message, as JSON, to a hash, and what that ignores to the form.
///
/// # Errors
/// Why it is not read. What was written until then means nothing.
pub(super) fn write(message: &str, tape: &mut Tape, out: &mut Feed, mut form: Option<&mut Form>) -> Result<(), Unread> {
    let text = tape.read(message.as_bytes(), DEEPEST)?;
    if let Some(form) = &mut form {
        form.count(text.values());
    }
    let mut canonical = Canonical { text, open: Open::default(), out, form, scratch: Vec::new() };
    canonical.value(text.root(), Place::Message)
}

/// Writes the values of one message.
struct Canonical<'t, 'o> {
    text: Text<'t, 'o>,
    open: Open<'t>,
    out: &'o mut Feed,
    form: Option<&'o mut Form>,
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
                let said = said(string)?;
                self.block_text(string, &said, &without_reminders(&said));
                Ok(())
            }
            (Kind::String(string), _) => self.any_string(string),
            (Kind::Word(word), _) => self.word(word),
            // no part of a message is skipped
            (Kind::Skipped, _) => Err(Unread::AsWritten),
        }
    }

    /// A content that is a text, as the one block would be written that says the same.
    fn content(&mut self, string: Str<'t>) -> Result<(), Unread> {
        let said = said(string)?;
        let text = without_reminders(&said);
        self.out.push(b"[");
        if text.trim().is_empty() {
            self.note_string(string);
        } else {
            self.out.push(b"{");
            for text in ["text", &text, "type", "text"] {
                self.string(text);
            }
            self.out.push(b"}");
            self.note_text(string, text.len() == said.len(), Form::SAME_CONTENT, Form::CUT_CONTENT);
        }
        self.out.push(b"]");
        Ok(())
    }

    /// The text of a block, of which only a part may count.
    fn block_text(&mut self, string: Str<'t>, said: &str, text: &str) {
        self.string(text);
        self.note_text(string, text.len() == said.len(), Form::SAME, Form::CUT);
    }

    fn list(&mut self, list: Value, place: Place) -> Result<(), Unread> {
        self.both(b"[");
        for item in self.text.items(list) {
            self.value(item, place)?;
        }
        self.both(b"]");
        Ok(())
    }

    /// An object; nothing of a block of text with nothing in it.
    fn object(&mut self, object: Value, place: Place) -> Result<(), Unread> {
        let members = self.text.sorted(object, &mut self.open)?;
        if let Some(form) = &mut self.form {
            form.is_lost |= self.open.has_duplicates(members.clone());
        }
        self.note(b"{");
        let mut has_begun = false;
        for at in members.clone() {
            let key = self.open.take_key(at);
            let value = self.open.get(at).value;
            if *key == *b"cache_control" {
                self.note_member(&key, value);
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
                    self.note_member(key.as_bytes(), value);
                    for at in at + 1..members.end {
                        let key = self.open.take_key(at);
                        self.note_member(&key, self.open.get(at).value);
                    }
                    self.note(b"}");
                    self.open.close(members);
                    return Ok(());
                }
                self.begin(&mut has_begun);
                self.key(key);
                self.block_text(string, &said, &text);
                continue;
            }
            self.begin(&mut has_begun);
            self.key(key);
            self.value(value, place)?;
        }
        self.begin(&mut has_begun);
        self.both(b"}");
        self.open.close(members);
        Ok(())
    }

    fn begin(&mut self, has_begun: &mut bool) {
        if !std::mem::replace(has_begun, true) {
            self.out.push(b"{");
        }
    }

    fn key(&mut self, key: &str) {
        self.string(key);
        self.note(Form::SAME);
    }

    /// A string that is no text for a model to read.
    fn any_string(&mut self, string: Str<'_>) -> Result<(), Unread> {
        self.note(Form::SAME);
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
        if let Some(form) = &mut self.form {
            form.out.push_word(word);
        }
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

    /// Writes to both.
    fn both(&mut self, bytes: &[u8]) {
        self.out.push(bytes);
        self.note(bytes);
    }

    /// Writes to the form alone.
    fn note(&mut self, bytes: &[u8]) {
        if let Some(form) = &mut self.form {
            form.out.push(bytes);
        }
    }

    /// Notes a member that the hash leaves out.
    fn note_member(&mut self, key: &[u8], value: Value) {
        if let Some(form) = &mut self.form {
            form.push_member(key, value, self.text, &mut self.open);
        }
    }

    /// Notes a string of which the hash has nothing.
    fn note_string(&mut self, string: Str<'_>) {
        if let Some(form) = &mut self.form {
            form.is_lost |= string.feed_exact(&mut form.out).is_err();
        }
    }

    /// Notes whether the hash has a text as it is.
    fn note_text(&mut self, string: Str<'_>, is_same: bool, same: &[u8], cut: &[u8]) {
        if is_same {
            self.note(same);
        } else {
            self.note(cut);
            self.note_string(string);
        }
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
