//! The strings, numbers and words of a message, as they are written to a hash.

use json_tape::{Str, spell_normally};

use super::{Canonical, Unread};

impl Canonical<'_, '_> {
    /// A string in its normal spelling, which is how almost all are written anyway.
    pub(super) fn string(&mut self, string: Str<'_>) -> Result<(), Unread> {
        if let Some(quoted) = string.normal_quoted() {
            self.out.push(quoted);
            return Ok(());
        }
        if !string.decode(|_| {})? {
            return Err(Unread::AsWritten);
        }
        self.out.push_byte(b'"');
        string.spell_normally(|piece| self.out.push(piece))?;
        self.out.push_byte(b'"');
        Ok(())
    }

    /// A string that says this.
    pub(super) fn literal(&mut self, text: &str) {
        self.out.push_byte(b'"');
        spell_normally(text.as_bytes(), |piece| self.out.push(piece));
        self.out.push_byte(b'"');
    }

    pub(super) fn word(&mut self, word: &[u8]) -> Result<(), Unread> {
        if let Some(form) = &mut self.form {
            form.out.push_word(word);
        }
        match word {
            b"null" => self.out.push_byte(b'n'),
            b"true" => self.out.push_byte(b't'),
            b"false" => self.out.push_byte(b'f'),
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
