//! Keys of JSON objects, read so that no spelling hides one.

use std::borrow::Cow;

use json_tape::{Fault, Reader};

/// How long a key with escapes may be to be resolved. Every letter of one that is looked for may be an escape of six.
const LONGEST: usize = 1024;

/// A key of an object.
pub(crate) struct Key<'t> {
    /// Its bytes with the escapes resolved. No `str`: an escape may be half of a surrogate pair. Of one that has escapes and is
    /// too long to be any that is looked for, its text.
    pub(crate) name: Cow<'t, [u8]>,
    /// Whether the name may be spelled otherwise.
    pub(super) is_unclear: bool,
}

impl<'t> Key<'t> {
    /// The next key of an object; none at its end.
    ///
    /// # Errors
    /// That neither comes next.
    pub(crate) fn next(reader: &mut Reader<'t>) -> Result<Option<Self>, Fault> {
        let Some(key) = reader.key()? else { return Ok(None) };
        let is_unclear = key.has_escapes() && key.raw().len() > LONGEST;
        let name = if is_unclear { Cow::Borrowed(key.raw()) } else { key.decoded()? };
        Ok(Some(Self { name, is_unclear }))
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
        // most keys are told by their first letter
        let (first, wanted) = (self.name.first()?, name.as_bytes().first()?);
        if first.is_ascii() && !first.eq_ignore_ascii_case(wanted) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(key: &str, name: &str) -> Option<bool> {
        let key = Key { name: Cow::Borrowed(key.as_bytes()), is_unclear: false };
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
