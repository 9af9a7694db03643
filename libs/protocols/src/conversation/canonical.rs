//! The canonical form of a message: what means the same in a conversation is written the same, and nothing else is. What it
//! ignores is written to the form beside it, where that is wanted.

mod reminders;
mod scalars;

use std::ops::Range;

use json_tape::{Fault, Feed, Key, Kind, Open, Str, Text, Value};

use super::form::Form;
use reminders::Counts;

/// How deep a message may be nested to be read. A deeper one is hashed as it is written.
pub(super) const DEEPEST: usize = 127;

/// The types of blocks and items that are a model's thoughts.
const THINKING: [&[u8]; 3] = [b"thinking", b"redacted_thinking", b"reasoning"];
/// The members of a message that are.
const THOUGHTS: [&[u8]; 3] = [b"reasoning", b"reasoning_content", b"reasoning_details"];

/// Why a message is not read.
pub(super) enum Unread {
    /// It is no JSON that could be read with certainty.
    AsWritten,
    /// It has more values than are read.
    TooMany,
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken | Fault::TooDeep | Fault::Duplicate => Self::AsWritten,
            Fault::TooMany => Self::TooMany,
        }
    }
}

/// Writes a message to a hash, and what that ignores to the form.
///
/// # Errors
/// Why it is not read. What was written until then are whole strings and words, and brackets.
pub(super) fn write<'t>(
    (text, message): (Text<'t, '_>, Value),
    open: &mut Open<'t>,
    out: &mut Feed,
    form: Option<&mut Form>,
) -> Result<(), Unread> {
    // the one before may have been left in its middle
    open.clear();
    let mut canonical = Canonical { text, open, out, form };
    canonical.value(message, Place::Message)
}

/// Writes the values of one message.
struct Canonical<'t, 'o> {
    text: Text<'t, 'o>,
    open: &'o mut Open<'t>,
    out: &'o mut Feed,
    form: Option<&'o mut Form>,
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
                let counts = Counts::of(string)?;
                self.block_text(string, &counts)
            }
            (Kind::String(string), _) => self.any_string(string),
            (Kind::Word(word), _) => self.word(word),
            // no part of a message is skipped
            (Kind::Skipped, _) => Err(Unread::AsWritten),
        }
    }

    /// A content that is a text, as the one block would be written that says the same.
    fn content(&mut self, string: Str<'t>) -> Result<(), Unread> {
        let counts = Counts::of(string)?;
        if counts.is_blank {
            self.out.push(b"[]");
            self.note_string(string);
        } else {
            self.out.push(br#"[{"text""#);
            self.text(string, &counts)?;
            self.out.push(br#""type""text"}]"#);
            self.note_text(string, &counts, Form::SAME_CONTENT, Form::CUT_CONTENT);
        }
        Ok(())
    }

    /// The text of a block, of which only a part may count.
    fn block_text(&mut self, string: Str<'t>, counts: &Counts) -> Result<(), Unread> {
        self.text(string, counts)?;
        self.note_text(string, counts, Form::SAME, Form::CUT);
        Ok(())
    }

    fn text(&mut self, string: Str<'t>, counts: &Counts) -> Result<(), Unread> {
        match &counts.part {
            None => self.string(string),
            Some(part) => {
                self.literal(part);
                Ok(())
            }
        }
    }

    fn list(&mut self, list: Value, place: Place) -> Result<(), Unread> {
        self.both(b'[');
        for item in self.text.items(list) {
            self.value(item, place)?;
        }
        self.both(b']');
        Ok(())
    }

    /// An object; nothing of a block of text with nothing in it, and nothing of what a model thinks, which clients send back or not.
    fn object(&mut self, object: Value, place: Place) -> Result<(), Unread> {
        let members = self.text.sorted(object, self.open)?;
        if matches!(place, Place::Message | Place::Block) && self.is_thinking(members.clone()) {
            self.open.close(members);
            if let Some(form) = &mut self.form {
                form.push_left_out(object, self.text, self.open);
            }
            return Ok(());
        }
        if let Some(form) = &mut self.form {
            form.is_lost |= self.open.has_duplicates(members.clone());
        }
        self.note(b'{');
        let mut has_begun = false;
        for at in members.clone() {
            let key = self.open.take_key(at);
            let value = self.open.get(at).value;
            if *key == *b"cache_control" || place == Place::Message && THOUGHTS.contains(&&*key) {
                self.note_member(&key, value);
                continue;
            }
            let place = match (place, &*key) {
                (Place::Message, b"content") => Place::Content,
                (Place::Block, b"text") => Place::Text,
                _ => Place::Elsewhere,
            };
            if let (false, Place::Text, Kind::String(string)) = (has_begun, place, self.text.kind(value)) {
                let counts = Counts::of(string)?;
                if counts.is_blank {
                    self.note_member(&key, value);
                    for at in at + 1..members.end {
                        let key = self.open.take_key(at);
                        self.note_member(&key, self.open.get(at).value);
                    }
                    self.note(b'}');
                    self.open.close(members);
                    return Ok(());
                }
                self.key(&key, &mut has_begun)?;
                self.block_text(string, &counts)?;
                continue;
            }
            self.key(&key, &mut has_begun)?;
            self.value(value, place)?;
        }
        self.begin(&mut has_begun);
        self.both(b'}');
        self.open.close(members);
        Ok(())
    }

    /// Whether an object with these members is what a model thinks.
    fn is_thinking(&self, mut members: Range<usize>) -> bool {
        members.any(|at| {
            let member = self.open.get(at);
            let kind = || match self.text.kind(member.value) {
                Kind::String(kind) => THINKING.contains(&kind.raw()),
                _ => false,
            };
            *member.key == *b"type" && kind()
        })
    }

    fn begin(&mut self, has_begun: &mut bool) {
        if !std::mem::replace(has_begun, true) {
            self.out.push_byte(b'{');
        }
    }

    /// A key of an object, which begins with its first one. Nothing is written of a key that is no text.
    fn key(&mut self, key: &Key<'_>, has_begun: &mut bool) -> Result<(), Unread> {
        if let Some(quoted) = key.plain() {
            self.begin(has_begun);
            self.out.push(quoted);
        } else {
            let says = std::str::from_utf8(key).map_err(|_| Unread::AsWritten)?;
            self.begin(has_begun);
            self.literal(says);
        }
        self.note(Form::SAME);
        Ok(())
    }

    /// A string that is no text for a model to read.
    fn any_string(&mut self, string: Str<'_>) -> Result<(), Unread> {
        self.note(Form::SAME);
        self.string(string)
    }

    /// Writes to both.
    fn both(&mut self, byte: u8) {
        self.out.push_byte(byte);
        self.note(byte);
    }

    /// Writes to the form alone.
    fn note(&mut self, byte: u8) {
        if let Some(form) = &mut self.form {
            form.out.push_byte(byte);
        }
    }

    /// Notes a member that the hash leaves out.
    fn note_member(&mut self, key: &Key<'_>, value: Value) {
        if let Some(form) = &mut self.form {
            form.push_member(key, value, self.text, self.open);
        }
    }

    /// Notes a string of which the hash has nothing.
    fn note_string(&mut self, string: Str<'_>) {
        if let Some(form) = &mut self.form {
            form.is_lost |= string.feed_exact(&mut form.out).is_err();
        }
    }

    /// Notes whether the hash has a text as it is.
    fn note_text(&mut self, string: Str<'_>, counts: &Counts, same: u8, cut: u8) {
        if counts.part.is_none() {
            self.note(same);
        } else {
            self.note(cut);
            self.note_string(string);
        }
    }
}
