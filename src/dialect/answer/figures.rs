//! A JSON object as figures and words, read leniently: what is not of the kind that is asked for is not there.

use std::collections::BTreeMap;

use plugin_api::Asked;
use serde_json::value::RawValue;

use crate::dialect::number;

/// The members of an object.
#[derive(Debug)]
pub(super) struct Figures<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Figures<'a> {
    /// Those in this text; none if it is no object.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// A number of something: whole, not negative, and within 63 bits, which a database can hold.
    pub(super) fn count(&self, key: &str) -> Option<u64> {
        match number::asked(self.0.get(key)?.get()) {
            Asked::Tokens(count) if i64::try_from(count).is_ok() => Some(count),
            _ => None,
        }
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.0.get(key)?.get()).ok()
    }

    /// A string, or a number in its own spelling.
    pub(super) fn word(&self, key: &str) -> Option<String> {
        let number = |raw: &&&RawValue| raw.get().starts_with(|first: char| first.is_ascii_digit());
        self.text(key).or_else(|| self.0.get(key).filter(number).map(|raw| raw.get().to_owned()))
    }

    /// An object's members.
    pub(super) fn within(&self, key: &str) -> Option<Self> {
        Self::of(self.0.get(key)?.get())
    }

    /// The objects of a list.
    pub(super) fn list(&self, key: &str) -> Vec<Self> {
        let list = self.0.get(key).and_then(|raw| serde_json::from_str::<Vec<&'a RawValue>>(raw.get()).ok());
        list.unwrap_or_default().into_iter().filter_map(|raw| Self::of(raw.get())).collect()
    }
}
