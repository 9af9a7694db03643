//! Puts another model's name into an answer, in the place of the one that it gives, and changes no other byte. Knows no transport.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use memchr::memmem;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members that hold an answer within an event: Anthropic's `message_start` and the events of `OpenAI`'s responses.
const HOLDERS: [&str; 2] = ["message", "response"];

/// The JSON text of an answer, or of an event or line of one, with this model in the place of its own. `None` where it names none
/// as a text, or is no whole JSON object.
///
/// ```
/// use protocols::with_model;
///
/// let event = br#"{"type":"message_start","message":{"model":"claude-haiku-4-5","content":[]}}"#;
/// let changed = with_model(event, "fast").unwrap();
/// assert_eq!(changed, br#"{"type":"message_start","message":{"model":"fast","content":[]}}"#);
/// assert_eq!(with_model(br#"{"delta":{"model":"x"}}"#, "fast"), None);
/// ```
#[must_use]
pub fn with_model(json: &[u8], model: &str) -> Option<Vec<u8>> {
    // most events name none
    memmem::find(json, b"\"model\"")?;
    let text = std::str::from_utf8(json).ok()?;
    let mut places = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(Models { text, within: false, places: &mut places }).and_then(|()| reader.end()).ok()?;
    if places.is_empty() {
        return None;
    }
    let name = serde_json::Value::from(model).to_string();
    let mut out = Vec::with_capacity(json.len() + places.len() * name.len());
    let mut copied = 0;
    for Range { start, end } in places {
        out.extend_from_slice(&json[copied..start]);
        out.extend_from_slice(name.as_bytes());
        copied = end;
    }
    out.extend_from_slice(&json[copied..]);
    Some(out)
}

/// Finds the names of models in an object, in the order of the text.
struct Models<'a, 'p> {
    text: &'a str,
    /// Whether the object is held by another one.
    within: bool,
    places: &'p mut Vec<Range<usize>>,
}

impl<'de> Visitor<'de> for Models<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let is_holder = !self.within && HOLDERS.contains(&&*key);
            if key != "model" && !is_holder {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?.get();
            if is_holder && value.starts_with('{') {
                let held = Models { text: self.text, within: true, places: &mut *self.places };
                serde_json::Deserializer::from_str(value).deserialize_map(held).map_err(serde::de::Error::custom)?;
            } else if key == "model" && value.starts_with('"') {
                let start = value.as_ptr().addr() - self.text.as_ptr().addr();
                self.places.push(start..start + value.len());
            }
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn changed(json: &str) -> Option<String> {
        with_model(json.as_bytes(), "a\"b").map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_name_is_changed_wherever_an_answer_gives_it_and_no_other_byte() {
        for (json, wanted) in [
            (r#"{ "id":1e400, "model" : "x", "b":[] }"#, r#"{ "id":1e400, "model" : "a\"b", "b":[] }"#),
            (
                r#"{"model":"x","choices":[{"delta":{"model":"y"}}]}"#,
                r#"{"model":"a\"b","choices":[{"delta":{"model":"y"}}]}"#,
            ),
            (
                r#"{"response":{"model":"","id":"r"},"model":"y"}"#,
                r#"{"response":{"model":"a\"b","id":"r"},"model":"a\"b"}"#,
            ),
            (
                r#"{"message":{"model":"x","message":{"model":"y"}}}"#,
                r#"{"message":{"model":"a\"b","message":{"model":"y"}}}"#,
            ),
            (r#"{"model":"x","model":"y"}"#, r#"{"model":"a\"b","model":"a\"b"}"#),
        ] {
            assert_eq!(changed(json).as_deref(), Some(wanted), "{json}");
        }
        for json in [
            r#"{"model":null}"#,
            r#"{"content":[{"text":"\"model\":\"x\""}]}"#,
            r#"{"message":"model"}"#,
            r#"{"model":"x""#,
            r#"{"model":"x"} {"#,
            r#"["model"]"#,
            "[DONE]",
            "model",
            "",
        ] {
            assert_eq!(changed(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn the_rest_of_any_answer_says_the_same(text in ".*", own in ".*", asked in ".*", number in any::<i64>()) {
            let answer = json!({ "a": text, "model": own, "n": number, "message": { "model": own, "t": text } });
            let changed = with_model(answer.to_string().as_bytes(), &asked).unwrap();
            let mut wanted = answer;
            wanted["model"] = asked.clone().into();
            wanted["message"]["model"] = asked.into();
            prop_assert_eq!(serde_json::from_slice::<Value>(&changed).unwrap(), wanted);
        }
    }
}
