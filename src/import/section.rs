//! A mapping of the file that is taken apart key by key: what nobody has taken in the end was left out.

use serde_json::{Map, Value};

use super::LeftOut;

/// Keys that mean nothing to what the gateway does.
const WITHOUT_EFFECT: [&str; 6] =
    ["set_verbose", "json_logs", "suppress_debug_info", "detailed_debug", "debug", "store_model_in_db"];

/// A mapping, and where it stands.
pub(super) struct Section {
    place: String,
    entries: Map<String, Value>,
}

impl Section {
    /// The mapping under a key of another one; empty where there is none.
    pub(super) fn within(&mut self, key: &str) -> Self {
        let place = if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) };
        Self::new(place, self.take(key))
    }

    /// A mapping at this place; empty where it is none.
    pub(super) fn new(place: String, value: Option<Value>) -> Self {
        let entries = match value {
            Some(Value::Object(entries)) => entries,
            _ => Map::new(),
        };
        Self { place, entries }
    }

    /// The place of a key.
    pub(super) fn place_of(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// The place of the mapping.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Takes a value out; none where it is `null`.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Takes out a text, or a number as one.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.entries.insert(key.to_owned(), other);
                None
            }
        }
    }

    /// Takes out a number of at least 0, rounded up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    pub(super) fn number(&mut self, key: &str) -> Option<u64> {
        let value = self.take(key)?;
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        match number.filter(|number| (0.0..1e15).contains(number)) {
            Some(number) => Some(number.ceil() as u64),
            None => {
                self.entries.insert(key.to_owned(), value);
                None
            }
        }
    }

    /// Adds whatever nobody has taken.
    pub(super) fn finish(self, left_out: &mut LeftOut) {
        for key in self.entries.keys().filter(|key| !WITHOUT_EFFECT.contains(&key.as_str())) {
            left_out.add(&self.place_of(key), "has no counterpart here");
        }
    }
}
