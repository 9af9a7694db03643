//! The exact form of a value: bytes that all its spellings share, and no other value has.
//!
//! Members are sorted by key, strings spelled normally, and numbers are as they are written, since `1` and `1.0` are alike only to some
//! readers. The first byte of a value says what it is. A string, number or word ends with a byte that UTF-8 never has.

use crate::text::{Kind, Open, Text, Value};
use crate::{Fault, Feed, Key, Str, spell_normally};

/// The end of a string, number or word.
const END: u8 = 0xFF;

impl<'t> Text<'t, '_> {
    /// Hashes the exact form of a value.
    ///
    /// # Errors
    /// A key stands twice in an object, an escape is none, or there are too many members.
    pub fn feed_exact(&self, value: Value, open: &mut Open<'t>, out: &mut Feed) -> Result<(), Fault> {
        match self.kind(value) {
            Kind::Object => {
                let members = self.sorted(value, open)?;
                if open.has_duplicates(members.clone()) {
                    return Err(Fault::Duplicate);
                }
                out.push_byte(b'{');
                for at in members.clone() {
                    let key = open.take_key(at);
                    out.push_key(&key);
                    self.feed_exact(open.get(at).value, open, out)?;
                }
                out.push_byte(b'}');
                open.close(members);
            }
            Kind::List => {
                out.push_byte(b'[');
                for item in self.items(value) {
                    self.feed_exact(item, open, out)?;
                }
                out.push_byte(b']');
            }
            Kind::String(string) => string.feed_exact(out)?,
            Kind::Word(word) => out.push_word(word),
            // what was not read has no form
            Kind::Skipped => return Err(Fault::Broken),
        }
        Ok(())
    }
}

impl Str<'_> {
    /// Hashes the exact form of this string.
    ///
    /// # Errors
    /// An escape is none.
    pub fn feed_exact(self, out: &mut Feed) -> Result<(), Fault> {
        out.push_byte(b's');
        self.spell_normally(|piece| out.push(piece))?;
        out.push_byte(END);
        Ok(())
    }
}

impl Feed {
    /// The exact form of a key, as of a string that says the same.
    pub fn push_key(&mut self, key: &Key<'_>) {
        self.push_byte(b's');
        match key.plain() {
            Some(_) => self.push(key),
            None => spell_normally(key, |piece| self.push(piece)),
        }
        self.push_byte(END);
    }

    /// The exact form of a number, `true`, `false` or `null`.
    pub fn push_word(&mut self, word: &[u8]) {
        self.push_byte(b'w');
        self.push(word);
        self.push_byte(END);
    }
}
