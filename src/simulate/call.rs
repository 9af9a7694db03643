//! What a request's body asks for: read in one pass, without a copy of what it holds. Ignores unknown keys.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use super::prompt::Prompt;

/// What a call asks for. Of a key that comes twice the last counts, as with the providers.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    /// Empty where it names none.
    model: Cow<'a, str>,
    /// `max_tokens`, `max_completion_tokens` or `max_output_tokens`.
    limit: Option<u64>,
    pub(super) stream: bool,
    /// Whether a stream of chunks ends with its usage.
    pub(super) include_usage: bool,
    choices: Option<u64>,
    prompt: Prompt,
    /// The `input`, as it is written.
    input: Option<&'a RawValue>,
    pub(super) base64: bool,
    /// Length of the embeddings.
    pub(super) dimensions: Option<u64>,
}

/// How much an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) tokens: u64,
    /// Whether the request's limit cut it short.
    pub(super) cut: bool,
}

/// Answers that one request may ask for at once; OpenAI's own bound.
const MOST_CHOICES: u64 = 128;

impl<'a> Call<'a> {
    /// Reads a body. The error is a message for the client.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    pub(super) fn model(&self) -> &str {
        if self.model.is_empty() { "simulated" } else { &self.model }
    }

    pub(super) fn input_tokens(&self) -> u64 {
        self.prompt.tokens()
    }

    /// Texts to embed, as they are written; a list of token numbers is one text.
    pub(super) fn inputs(&self) -> Vec<&'a str> {
        let Some(input) = self.input.map(RawValue::get) else { return vec!["null"] };
        let items: Vec<&RawValue> = serde_json::from_str(input).unwrap_or_default();
        match items.first() {
            Some(first) if !first.get().starts_with(|first: char| first.is_ascii_digit()) => {
                items.into_iter().map(RawValue::get).collect()
            }
            _ => vec![input],
        }
    }

    /// Answers wanted side by side: OpenAI's `n`.
    pub(super) fn choices(&self) -> u64 {
        self.choices.unwrap_or(1).clamp(1, MOST_CHOICES)
    }

    /// How much of `tokens` the answer may say.
    pub(super) fn output(&self, tokens: u64) -> Output {
        match self.limit {
            Some(limit) if limit < tokens => Output { tokens: limit, cut: true },
            _ => Output { tokens, cut: false },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Key {
    Model,
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    Stream,
    StreamOptions,
    N,
    System,
    Messages,
    Prompt,
    Input,
    Instructions,
    EncodingFormat,
    Dimensions,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// A string that is borrowed from the body where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Call<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Call<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Call<'de>, A::Error> {
        let mut call = Call::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Model => call.model = map.next_value::<Option<Text>>()?.map(|text| text.0).unwrap_or_default(),
                Key::MaxTokens | Key::MaxCompletionTokens | Key::MaxOutputTokens => {
                    if let Some(Count(limit)) = map.next_value()? {
                        call.limit = Some(limit);
                    }
                }
                Key::Stream => call.stream = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                Key::StreamOptions => {
                    let options: Option<StreamOptions> = map.next_value()?;
                    call.include_usage = options.and_then(|options| options.include_usage).unwrap_or_default();
                }
                Key::N => call.choices = map.next_value::<Option<Count>>()?.map(|Count(n)| n),
                Key::System | Key::Messages | Key::Prompt | Key::Instructions => call.prompt.add(map.next_value()?),
                Key::Input => {
                    let input: &RawValue = map.next_value()?;
                    call.prompt.add(serde_json::from_str(input.get()).map_err(A::Error::custom)?);
                    call.input = Some(input);
                }
                Key::EncodingFormat => {
                    call.base64 = map.next_value::<Option<Text>>()?.is_some_and(|format| format.0 == "base64");
                }
                Key::Dimensions => call.dimensions = map.next_value::<Option<Count>>()?.map(|Count(n)| n),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(call)
    }
}

/// A whole number, zero or more, however JSON writes it: `4000`, `4e3`.
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadCount)
    }
}

struct ReadCount;

impl Visitor<'_> for ReadCount {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, zero or more")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
        Ok(Count(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Count, E> {
        if number >= 0.0 && number.fract() == 0.0 {
            Ok(Count(number as u64)) // saturates
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(json: &str) -> Call<'_> {
        Call::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn the_limit_is_read_under_each_of_its_names() {
        for json in [
            r#"{"max_tokens":5}"#,
            r#"{"max_completion_tokens":5}"#,
            r#"{"max_output_tokens":5}"#,
            r#"{"max_tokens":5.0}"#,
            r#"{"max_tokens":9,"max_tokens":5}"#,
            r#"{"max_tokens":5,"max_completion_tokens":null}"#,
            r#"{"tools":[{"input_schema":{"max_tokens":1}}],"max_tokens":5}"#,
        ] {
            assert_eq!(call(json).output(16), Output { tokens: 5, cut: true }, "{json}");
        }
        assert_eq!(call(r#"{"max_tokens":5e3}"#).output(16), Output { tokens: 16, cut: false });
        assert_eq!(call("{}").output(16), Output { tokens: 16, cut: false });
        assert_eq!(call(r#"{"max_tokens":0}"#).output(16), Output { tokens: 0, cut: true });
    }

    #[test]
    fn what_is_no_call_is_refused_in_words() {
        for (json, found) in [
            ("", "EOF"),
            ("[]", "invalid type: sequence, expected an object"),
            (r#"{"max_tokens":-1}"#, "a whole number, zero or more"),
            (r#"{"max_tokens":1.5}"#, "a whole number, zero or more"),
            (r#"{"max_tokens":"5"}"#, "a whole number, zero or more"),
            (r#"{"stream":1}"#, "expected a boolean"),
            (r#"{"model":"a"} x"#, "trailing characters"),
        ] {
            let error = Call::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(found), "{json}: {error}");
        }
    }

    #[test]
    fn a_model_without_escapes_is_not_copied() {
        assert!(matches!(call(r#"{"model":"claude-opus-4-6"}"#).model, Cow::Borrowed(_)));
        assert_eq!(call(r#"{"model":"a\"b"}"#).model(), "a\"b");
        assert_eq!(call("{}").model(), "simulated");
    }

    #[test]
    fn inputs_are_counted_as_the_embeddings_endpoint_takes_them() {
        for (input, count) in [(r#""a""#, 1), (r#"["a","b"]"#, 2), ("[1,2,3]", 1), ("[[1,2],[3]]", 2), ("[]", 1)] {
            assert_eq!(call(&format!(r#"{{"input":{input}}}"#)).inputs().len(), count, "{input}");
        }
        assert_eq!(call("{}").inputs(), ["null"]);
    }

    #[test]
    fn the_system_prompt_and_the_messages_add_up() {
        let call = call(
            r#"{"system":"12345678","messages":[{"role":"user","content":"1234"},{"role":"user","content":"5678"}]}"#,
        );
        assert_eq!(call.input_tokens(), 4);
    }
}
