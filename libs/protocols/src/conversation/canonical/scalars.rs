//! The strings, numbers and words of a message, as they are written to a hash.

use json_tape::{Str, spell_normally};

use super::{Canonical, Unread};

/// How many bytes of a string with escapes are decoded at once, rather than twice.
const AT_ONCE: usize = 64 << 10;

/// How the strings of a message are written to a hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::conversation) enum Strings {
    /// Each in its normal spelling, which is how almost all are written anyway.
    Normalized,
    /// Each as what it says, behind its length.
    Decoded,
}

impl Canonical<'_, '_> {
    pub(super) fn string(&mut self, string: Str<'_>) -> Result<(), Unread> {
        match (self.strings, string.normal()) {
            (Strings::Normalized, Some(normal)) => {
                self.out.push(b"\"");
                self.out.push(normal);
                self.out.push(b"\"");
                Ok(())
            }
            (Strings::Normalized, None) => {
                if !string.decode(|_| {})? {
                    return Err(Unread::AsWritten);
                }
                self.out.push(b"\"");
                string.spell_normally(|piece| self.out.push(piece))?;
                self.out.push(b"\"");
                Ok(())
            }
            (Strings::Decoded, _) => self.decoded(string),
        }
    }

    fn decoded(&mut self, string: Str<'_>) -> Result<(), Unread> {
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

    /// A string that says this.
    pub(super) fn literal(&mut self, text: &str) {
        match self.strings {
            Strings::Normalized => {
                self.out.push(b"\"");
                spell_normally(text.as_bytes(), |piece| self.out.push(piece));
                self.out.push(b"\"");
            }
            Strings::Decoded => self.bytes(text.as_bytes()),
        }
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

    pub(super) fn word(&mut self, word: &[u8]) -> Result<(), Unread> {
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
