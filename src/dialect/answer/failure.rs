//! Errors under the names that servers have for them, in a body or an event whose status says that all is well: one table of where
//! they stand, and what of them is their name.

use crate::dialect::found::{Field, Found, Members, Wanted};

use super::figures::Figures;

/// The longest name of an error, in bytes.
const LONGEST: usize = 128;
/// The name of an error that says none.
const UNNAMED: &str = "error";

/// Where an error may stand at the top of an object.
pub(super) const MEMBERS: Members = &[
    ("error", Wanted::Value(Field::Error)), // OpenAI, Anthropic, Ollama, Gemini, Qwen, …
    ("errors", Wanted::Value(Field::Errors)), // Cloudflare, JSON:API
    ("object", Wanted::Value(Field::Object)), // vLLM, SGLang: `error`
    ("type", Wanted::Value(Field::Type)),   // `error`
    ("code", Wanted::Value(Field::ErrorCode)), // Qwen
    ("message", Wanted::Value(Field::ErrorMessage)), // AWS, Kong
    ("detail", Wanted::Value(Field::ErrorDetail)), // FastAPI
    ("base_resp", Wanted::Members(&[("status_code", Wanted::Value(Field::BaseStatus))])), // MiniMax
    ("__type", Wanted::Value(Field::ExceptionType)), // AWS
    ("*Exception", Wanted::Key(Field::Exception)), // Bedrock's streams
];

/// Reasons to stop that say that the answer is none.
const STOPS: [&str; 5] = [
    "error",                        // OpenRouter, vLLM
    "abort",                        // vLLM, SGLang
    "aborted",                      // the same, passed on by others
    "insufficient_system_resource", // DeepSeek
    "network_error",                // Zhipu
];

/// Whether a reason to stop is a failure.
pub(super) fn is_stop(stop: &str) -> bool {
    STOPS.iter().any(|failure| stop.eq_ignore_ascii_case(failure))
}

/// The name of the error that an object tells of, if it does. What `is_answer` may have a `code`, a `message` and a `detail` of its
/// own.
pub(super) fn name(found: &Found, is_answer: bool) -> Option<String> {
    let named = |field| word(found, field);
    if says_something(found, Field::Error) {
        let error = found.get(Field::Error).and_then(|error| std::str::from_utf8(error).ok());
        let name = error.and_then(of_object).or_else(|| named(Field::Error)).or_else(|| named(Field::ErrorCode));
        return Some(name.unwrap_or_else(unnamed));
    }
    if says_something(found, Field::Errors) {
        let errors = found.get(Field::Errors).and_then(|errors| std::str::from_utf8(errors).ok());
        let first = errors.and_then(|errors| serde_json::from_str::<Vec<&serde_json::value::RawValue>>(errors).ok());
        let first = first.and_then(|errors| of_object(errors.first()?.get()));
        return Some(first.unwrap_or_else(unnamed));
    }
    let says_error = |field| found.get(field) == Some(br#""error""#);
    if says_error(Field::Object) || says_error(Field::Type) {
        let kind = named(Field::Type).filter(|kind| kind != UNNAMED);
        return Some(kind.or_else(|| named(Field::ErrorCode)).unwrap_or_else(unnamed));
    }
    if found.has(Field::Exception) || found.has(Field::ExceptionType) {
        let kind = named(Field::Exception).or_else(|| named(Field::ExceptionType));
        // AWS names the package, too
        return Some(kind.and_then(|kind| kind.rsplit('#').next().map(str::to_owned)).unwrap_or_else(unnamed));
    }
    if says_something(found, Field::BaseStatus) {
        return Some(named(Field::BaseStatus).unwrap_or_else(unnamed));
    }
    let others = [Field::ErrorCode, Field::ErrorMessage, Field::ErrorDetail];
    (!is_answer && others.into_iter().any(|field| says_something(found, field)))
        .then(|| named(Field::ErrorCode).unwrap_or_else(unnamed))
}

/// The name of an error of which nothing is known but that it is one.
pub(super) fn unnamed() -> String {
    UNNAMED.to_owned()
}

/// Whether there is a value that is more than a way to say that there is none.
fn says_something(found: &Found, field: Field) -> bool {
    const NOTHING: [&[u8]; 6] = [b"\"\"", b"{}", b"[]", b"false", b"0", b"\"0\""];
    found.has(field) && found.get(field).is_none_or(|value| !NOTHING.contains(&value))
}

/// The name in an error object: its type, else its code, else its status.
fn of_object(error: &str) -> Option<String> {
    let error = Figures::of(error)?;
    let named = |key| error.word(key).and_then(|word| as_name(&word));
    named("type").or_else(|| named("code")).or_else(|| named("status"))
}

/// A string that may be a name, or a number.
fn word(found: &Found, field: Field) -> Option<String> {
    let number = || {
        let text = std::str::from_utf8(found.get(field)?).ok()?;
        text.starts_with(|first: char| first.is_ascii_digit() || first == '-').then(|| text.to_owned())
    };
    found.text(field).or_else(number).and_then(|word| as_name(&word))
}

/// A name, and no sentence: it may hold anything, and is no word for a column.
fn as_name(text: &str) -> Option<String> {
    let is_name = !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_whitespace);
    is_name.then(|| text.to_owned())
}
