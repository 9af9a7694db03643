//! A string of a text, and what its escapes stand for.

use std::borrow::Cow;

use memchr::memchr;

use crate::Fault;

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Without escapes.
    Plain,
    /// With escapes of one letter, where there must be one. Nothing else that is written so says the same.
    Normal,
    /// With other escapes.
    Other,
}

/// A string of a text.
#[derive(Clone, Copy, Debug)]
pub struct Str<'t> {
    /// With its quotes.
    quoted: &'t [u8],
    spelling: Spelling,
}

impl<'t> Str<'t> {
    pub(crate) fn new(quoted: &'t [u8], spelling: Spelling) -> Self {
        Self { quoted, spelling }
    }

    /// Its bytes as they are written, without the quotes.
    #[must_use]
    pub fn raw(self) -> &'t [u8] {
        &self.quoted[1..self.quoted.len() - 1]
    }

    /// Whether it has escapes; without, its bytes are what it says.
    #[must_use]
    pub fn has_escapes(self) -> bool {
        self.spelling != Spelling::Plain
    }

    /// Its bytes as they are written, with its quotes.
    pub(crate) fn quoted(self) -> &'t [u8] {
        self.quoted
    }

    /// Its bytes, if they are its normal spelling: without escapes but of one letter, of what must have one. All strings that say the same have one
    /// normal spelling, and no other string has it.
    #[must_use]
    pub fn normal(self) -> Option<&'t [u8]> {
        (self.spelling != Spelling::Other).then(|| self.raw())
    }

    /// The same, between its quotes.
    #[must_use]
    pub fn normal_quoted(self) -> Option<&'t [u8]> {
        (self.spelling != Spelling::Other).then_some(self.quoted)
    }

    /// Hands on its normal spelling, piece by piece. In it, other control characters than those with escapes of one letter are
    /// written as `\u001f`, and a half of a surrogate pair is three bytes that no UTF-8 has. Whether it is without one.
    ///
    /// # Errors
    /// That an escape is none.
    pub fn spell_normally(self, mut piece: impl FnMut(&[u8])) -> Result<bool, Fault> {
        match self.normal() {
            Some(normal) => {
                piece(normal);
                Ok(true)
            }
            // no other piece has a byte that must have an escape
            None => self.decode(|part| if let [_] = part { spell_normally(part, &mut piece) } else { piece(part) }),
        }
    }

    /// Hands on what it says, piece by piece. A half of a surrogate pair becomes three bytes that no UTF-8 has. Whether it is
    /// without one.
    ///
    /// # Errors
    /// That an escape is none.
    pub fn decode(self, mut piece: impl FnMut(&[u8])) -> Result<bool, Fault> {
        if !self.has_escapes() {
            piece(self.raw());
            return Ok(true);
        }
        let mut is_text = true;
        let mut rest = self.raw();
        loop {
            let plain = memchr(b'\\', rest).unwrap_or(rest.len());
            if plain > 0 {
                piece(&rest[..plain]);
            }
            if plain == rest.len() {
                return Ok(is_text);
            }
            if let Some(byte) = rest.get(plain + 1).and_then(|letter| simple(*letter)) {
                piece(&[byte]);
                rest = &rest[plain + 2..];
                continue;
            }
            let escape = Escape::of(&rest[plain + 1..]).ok_or(Fault::Broken)?;
            piece(&escape.bytes[..escape.length]);
            is_text &= escape.is_text;
            rest = &rest[plain + 1 + escape.taken..];
        }
    }

    /// What it says: a part of the text where it has no escapes.
    ///
    /// # Errors
    /// That an escape is none.
    pub fn decoded(self) -> Result<Cow<'t, [u8]>, Fault> {
        if !self.has_escapes() {
            return Ok(Cow::Borrowed(self.raw()));
        }
        let mut bytes = Vec::with_capacity(self.raw().len());
        self.decode(|piece| bytes.extend_from_slice(piece))?;
        Ok(Cow::Owned(bytes))
    }
}

/// Hands on the normal spelling of a string that says this, piece by piece.
pub fn spell_normally(says: &[u8], mut piece: impl FnMut(&[u8])) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = says;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        if at > 0 {
            piece(&rest[..at]);
        }
        match (rest[at], short(rest[at])) {
            (_, Some(letter)) => piece(&[b'\\', letter]),
            (byte, None) => piece(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), DIGITS[usize::from(byte & 15)]]),
        }
        rest = &rest[at + 1..];
    }
    if !rest.is_empty() {
        piece(rest);
    }
}

/// The letter of the escape of one letter that stands for a byte which must have an escape.
fn short(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        8 => b'b',
        12 => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => return None,
    })
}

/// What an escape of one letter stands for.
fn simple(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// What an escape of digits stands for.
struct Escape {
    bytes: [u8; 4],
    length: usize,
    /// How many bytes the escape has behind its backslash.
    taken: usize,
    /// Whether it is no half of a surrogate pair.
    is_text: bool,
}

impl Escape {
    fn of(rest: &[u8]) -> Option<Self> {
        let unit = unit(rest.strip_prefix(b"u")?.get(..4)?)?;
        let low = || {
            let unit = self::unit(rest.get(5..11)?.strip_prefix(b"\\u")?)?;
            (0xDC00..0xE000).contains(&unit).then_some(unit)
        };
        let pair = (0xD800..0xDC00).contains(&unit).then(low).flatten();
        let code = pair.map_or(unit, |low| 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
        Some(Self::utf8(code, if pair.is_some() { 11 } else { 5 }))
    }

    fn utf8(code: u32, taken: usize) -> Self {
        if let Some(char) = char::from_u32(code) {
            let mut bytes = [0; 4];
            let length = char.encode_utf8(&mut bytes).len();
            return Self { bytes, length, taken, is_text: true };
        }
        let byte = |bits: u32| (bits & 0xFF) as u8;
        let bytes = [byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F)), 0];
        Self { bytes, length: 3, taken, is_text: false }
    }
}

fn unit(digits: &[u8]) -> Option<u32> {
    let digit = |value: u32, byte: &u8| Some(value << 4 | char::from(*byte).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}
