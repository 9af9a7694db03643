//! How much text a prompt holds, counted while its JSON is read. Keeps none of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Bytes of text to a token: the usual rule of thumb for English.
const BYTES_PER_TOKEN: u64 = 4;

/// The size of a piece of prompt: a string, a list of messages, of content blocks, of token numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    bytes: u64,
}

impl Prompt {
    /// The tokens it counts as.
    pub(super) fn tokens(self) -> u64 {
        self.bytes.div_ceil(BYTES_PER_TOKEN).max(1)
    }

    /// Adds another part of the same request.
    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
    }
}

/// The keys of a message or a content block under which text stands. What is under others counts nothing.
#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Content,
    Text,
    Thinking,
    Input,
    Output,
    Arguments,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measure)
    }
}

struct Measure;

impl<'de> Visitor<'de> for Measure {
    type Value = Prompt;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a prompt")
    }

    fn visit_str<E>(self, text: &str) -> Result<Prompt, E> {
        Ok(Prompt { bytes: text.len() as u64 })
    }

    fn visit_u64<E>(self, _: u64) -> Result<Prompt, E> {
        Ok(Prompt { bytes: BYTES_PER_TOKEN })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Prompt, E> {
        Ok(Prompt::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Prompt, E> {
        Ok(Prompt::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Prompt, E> {
        Ok(Prompt::default())
    }

    fn visit_unit<E>(self) -> Result<Prompt, E> {
        Ok(Prompt::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prompt, A::Error> {
        let mut sum = Prompt::default();
        while let Some(part) = list.next_element::<Prompt>()? {
            sum.bytes += part.bytes;
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Prompt, A::Error> {
        let mut sum = Prompt::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Content | Key::Text | Key::Thinking | Key::Input | Key::Output | Key::Arguments => {
                    sum.bytes += map.next_value::<Prompt>()?.bytes;
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(json: &str) -> Prompt {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn text_counts_wherever_a_message_may_hold_it() {
        for json in [
            r#""12345678""#,
            r#""1234567""#,
            r#"[{"role":"user","content":"12345678"}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"12345678"}]}]"#,
            r#"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"12345678"}]}]}]"#,
            r#"[{"role":"user","content":[{"type":"image","source":{"data":"AAAAAAAAAAAAAAAA"}},{"text":"12345678"}]}]"#,
            r"[1000, 1001]",
        ] {
            assert_eq!(prompt(json).tokens(), 2, "{json}");
        }
    }

    #[test]
    fn an_empty_prompt_is_one_token() {
        assert_eq!(prompt("[]").tokens(), 1);
        assert_eq!(prompt("null").tokens(), 1);
    }

    #[test]
    fn escapes_count_as_what_they_stand_for() {
        assert_eq!(prompt(r#""\u0061\u0062\u0063\u0064""#).tokens(), 1);
    }
}
