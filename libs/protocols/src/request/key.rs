//! Keys of JSON objects, read so that no spelling hides one, and places in the text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A place in the text. The parser tells none, but what it hands out borrows from the text.
#[derive(Clone, Copy)]
pub(crate) struct Place<'de> {
    pub(crate) text: &'de str,
    pub(crate) at: usize,
}

impl<'de> Place<'de> {
    /// The place of a part of the text.
    pub(crate) fn of(self, part: &'de str) -> Self {
        Self { at: part.as_ptr().addr() - self.text.as_ptr().addr(), ..self }
    }

    /// The place behind a part of the text.
    pub(super) fn behind(self, part: &'de str) -> Self {
        let start = self.of(part);
        Self { at: start.at + part.len(), ..start }
    }

    /// The first byte of the next token, white space and colon aside, and its place.
    pub(crate) fn next_token(self) -> (Option<u8>, Self) {
        let between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':');
        let skipped = self.text.as_bytes()[self.at..].iter().take_while(|byte| between(byte)).count();
        let at = self.at + skipped;
        (self.text.as_bytes().get(at).copied(), Self { at, ..self })
    }
}

/// How long a key with escapes may be to be resolved. Every letter of one that is looked for may be an escape of six.
const LONGEST: usize = 1024;

/// A key of an object, and the place behind it.
pub(crate) struct Key<'de> {
    /// Its bytes with the escapes resolved. No `str`: an escape may be half of a surrogate pair. Of one that has escapes and is
    /// too long to be any that is looked for, its text.
    pub(crate) name: Cow<'de, [u8]>,
    /// Whether the name may be spelled otherwise.
    pub(super) is_unclear: bool,
    pub(super) end: Place<'de>,
}

impl<'de> Key<'de> {
    /// The next key of an object whose text is that of `place`.
    pub(crate) fn next<A: MapAccess<'de>>(map: &mut A, place: Place<'de>) -> Result<Option<Self>, A::Error> {
        let Some(raw) = map.next_key::<&'de RawValue>()? else { return Ok(None) };
        let raw = raw.get();
        let has_escapes = memchr::memchr(b'\\', raw.as_bytes()).is_some();
        let is_unclear = has_escapes && raw.len() > LONGEST;
        let name = if has_escapes && !is_unclear {
            Cow::Owned(serde_json::Deserializer::from_str(raw).deserialize_bytes(Unescaped).map_err(A::Error::custom)?)
        } else {
            Cow::Borrowed(raw.as_bytes().get(1..raw.len() - 1).unwrap_or_default())
        };
        Ok(Some(Self { name, is_unclear, end: place.behind(raw) }))
    }

    /// The same, and whether it is exactly the name.
    pub(crate) fn is_exactly(&self, name: &str) -> Option<bool> {
        self.is(name).map(|how| how == Match::Exact)
    }

    /// Whether a server may read the key under this name: exactly, or as those servers do that fold letter case.
    pub(crate) fn is(&self, name: &str) -> Option<Match> {
        if *self.name == *name.as_bytes() {
            return Some(Match::Exact);
        }
        if !(name.len()..=3 * name.len()).contains(&self.name.len()) {
            return None;
        }
        let key = std::str::from_utf8(&self.name).ok()?;
        // two letters beyond ASCII fold into it: the long s and the sign for kelvin
        let folded = key.chars().map(|char| match char {
            'ſ' => 's',
            '\u{212A}' => 'k',
            other => other.to_ascii_lowercase(),
        });
        folded.eq(name.chars()).then_some(Match::Folded)
    }
}

/// How a key fits a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    Exact,
    Folded,
}

struct Unescaped;

impl Visitor<'_> for Unescaped {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(key.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(key: &str, name: &str) -> Option<bool> {
        let key = Key { name: Cow::Borrowed(key.as_bytes()), is_unclear: false, end: Place { text: "", at: 0 } };
        key.is(name).map(|how| how == Match::Exact)
    }

    #[test]
    fn a_key_fits_a_name_in_its_own_letters_or_in_another_case() {
        assert_eq!(fits("max_tokens", "max_tokens"), Some(true));
        for key in ["MAX_TOKENS", "Max_tokens", "max_to\u{212A}en\u{17F}"] {
            assert_eq!(fits(key, "max_tokens"), Some(false), "{key}");
        }
        for key in ["", "max_token", "max_tokens2", "maX-tokens", "max_tökens"] {
            assert_eq!(fits(key, "max_tokens"), None, "{key}");
        }
    }
}
