//! The value at one path of a whole JSON text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The value at this path as its JSON text; `None` if the body has none there, or `null`, or is not strict JSON up to its
/// end. Of a key that stands twice the last counts.
#[must_use]
pub fn at_path<'a>(text: &'a [u8], path: &[String]) -> Option<&'a str> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let found = At { path }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    found.filter(|value| *value != "null")
}

struct At<'p> {
    path: &'p [String],
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((name, rest)) = self.path.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(name))? {
            if !is_it {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?.get();
            found = if rest.is_empty() { Some(value) } else { at_path(value.as_bytes(), rest) };
        }
        Ok(found)
    }
}

/// Whether a key is this name.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(text: &'a str, path: &str) -> Option<&'a str> {
        at_path(text.as_bytes(), &path.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let body = r#"{"model":"m","metadata":{"x":[{"user_id":1}],"user_id":"u-7"},"user":{"id":7}}"#;
        assert_eq!(at(body, "metadata.user_id"), Some(r#""u-7""#));
        assert_eq!(at(body, "user.id"), Some("7"));
        assert_eq!(at(body, "user"), Some(r#"{"id":7}"#));
        for path in ["user_id", "metadata.user", "model.x", "metadata.x.user_id"] {
            assert_eq!(at(body, path), None, "{path}");
        }
    }

    #[test]
    fn null_and_what_is_no_json_object_have_none() {
        for body in [r#"{"user":null}"#, "[1]", "", r#"{"user":"#, r#"{"user":1} x"#, r#"{"user":{"user":1}"#] {
            assert_eq!(at(body, "user"), None, "{body}");
        }
        assert_eq!(at(r#"{"user":1,"user":2}"#, "user"), Some("2"), "the last counts");
    }
}
