//! A JSON object read leniently: a member of another kind than the one asked for counts as absent.

use std::collections::BTreeMap;

use json_extract::decimal;
use serde_json::value::RawValue;

/// A dollar is ten to the power of these picodollars.
const PICO_DIGITS: i64 = 12;
/// The longest text that is kept, in bytes.
const LONGEST_TEXT: usize = 512;

/// The members of an object.
#[derive(Debug)]
pub(crate) struct LenientObject<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> LenientObject<'a> {
    /// Those in this text; none if it is no object.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// A number of something: whole, not negative, and within 63 bits, which a database can hold. A path leads into objects
    /// (`a.b`).
    pub(crate) fn count(&self, path: &str) -> Option<u64> {
        decimal::whole(self.at(path)?.get()).filter(|count| i64::try_from(*count).is_ok())
    }

    /// An amount of money at a path, in picodollars, where ten to the power of `digits` of its units are a dollar.
    pub(crate) fn picos(&self, path: &str, digits: i64) -> Option<u64> {
        decimal::scaled(self.at(path)?.get(), PICO_DIGITS - digits).filter(|picos| i64::try_from(*picos).is_ok())
    }

    fn at(&self, path: &str) -> Option<&'a RawValue> {
        match path.split_once('.') {
            Some((key, rest)) => self.within(key)?.at(rest),
            None => self.0.get(path).copied(),
        }
    }

    /// A string, cut where it is too long.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let mut text: String = serde_json::from_str(self.0.get(key)?.get()).ok()?;
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        Some(text)
    }

    /// A string, or a number in its own spelling.
    pub(crate) fn word(&self, key: &str) -> Option<String> {
        let number = |raw: &&&RawValue| raw.get().starts_with(|first: char| first.is_ascii_digit());
        self.text(key)
            .or_else(|| self.0.get(key).filter(number).map(|raw| raw.get().chars().take(LONGEST_TEXT).collect()))
    }

    /// An object's members.
    pub(crate) fn within(&self, key: &str) -> Option<Self> {
        Self::of(self.0.get(key)?.get())
    }

    /// The objects of a list.
    pub(crate) fn list(&self, key: &str) -> Vec<Self> {
        let list = self.0.get(key).and_then(|raw| serde_json::from_str::<Vec<&'a RawValue>>(raw.get()).ok());
        list.unwrap_or_default().into_iter().filter_map(|raw| Self::of(raw.get())).collect()
    }
}
