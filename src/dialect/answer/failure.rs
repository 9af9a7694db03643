//! Errors under the names that servers have for them, in a body or an event whose status says that all is well: one table of where
//! they stand, and what of them is their name.

use crate::dialect::slot::{Extractor, Members, Pattern, Slot};

use super::figures::Figures;

/// The longest name of an error, in bytes.
const LONGEST: usize = 128;
/// The name of an error that says none.
const UNNAMED: &str = "error";

/// Where an error may stand at the top of an object.
pub(super) const MEMBERS: Members = &[
    ("error", Pattern::Value(Slot::Error)), // OpenAI, Anthropic, Ollama, Gemini, Qwen, …
    ("errors", Pattern::Value(Slot::Errors)), // Cloudflare, JSON:API
    ("object", Pattern::Value(Slot::Object)), // vLLM, SGLang: `error`
    ("type", Pattern::Value(Slot::Type)),   // `error`
    ("code", Pattern::Value(Slot::ErrorCode)), // Qwen
    ("message", Pattern::Value(Slot::ErrorMessage)), // AWS, Kong
    ("detail", Pattern::Value(Slot::ErrorDetail)), // FastAPI
    ("base_resp", Pattern::Members(&[("status_code", Pattern::Value(Slot::BaseStatus))])), // MiniMax
    ("__type", Pattern::Value(Slot::ExceptionType)), // AWS
    ("*Exception", Pattern::Key(Slot::Exception)), // Bedrock's streams
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
pub(super) fn name(json: &Extractor, is_answer: bool) -> Option<String> {
    let named = |slot| word(json, slot);
    if says_something(json, Slot::Error) {
        let error = json.get(Slot::Error).and_then(|error| std::str::from_utf8(error).ok());
        let name = error.and_then(of_object).or_else(|| named(Slot::Error)).or_else(|| named(Slot::ErrorCode));
        return Some(name.unwrap_or_else(unnamed));
    }
    if says_something(json, Slot::Errors) {
        let errors = json.get(Slot::Errors).and_then(|errors| std::str::from_utf8(errors).ok());
        let first = errors.and_then(|errors| serde_json::from_str::<Vec<&serde_json::value::RawValue>>(errors).ok());
        let first = first.and_then(|errors| of_object(errors.first()?.get()));
        return Some(first.unwrap_or_else(unnamed));
    }
    let says_error = |slot| json.get(slot) == Some(br#""error""#);
    if says_error(Slot::Object) || says_error(Slot::Type) {
        let kind = named(Slot::Type).filter(|kind| kind != UNNAMED);
        return Some(kind.or_else(|| named(Slot::ErrorCode)).unwrap_or_else(unnamed));
    }
    if json.has(Slot::Exception) || json.has(Slot::ExceptionType) {
        let kind = named(Slot::Exception).or_else(|| named(Slot::ExceptionType));
        // AWS names the package, too
        return Some(kind.and_then(|kind| kind.rsplit('#').next().map(str::to_owned)).unwrap_or_else(unnamed));
    }
    if says_something(json, Slot::BaseStatus) {
        return Some(named(Slot::BaseStatus).unwrap_or_else(unnamed));
    }
    let others = [Slot::ErrorCode, Slot::ErrorMessage, Slot::ErrorDetail];
    (!is_answer && others.into_iter().any(|slot| says_something(json, slot)))
        .then(|| named(Slot::ErrorCode).unwrap_or_else(unnamed))
}

/// The name of an error of which nothing is known but that it is one.
pub(super) fn unnamed() -> String {
    UNNAMED.to_owned()
}

/// Whether there is a value that is more than a way to say that there is none.
fn says_something(json: &Extractor, slot: Slot) -> bool {
    const NOTHING: [&[u8]; 6] = [b"\"\"", b"{}", b"[]", b"false", b"0", b"\"0\""];
    json.has(slot) && json.get(slot).is_none_or(|value| !NOTHING.contains(&value))
}

/// The name in an error object: its type, else its code, else its status.
fn of_object(error: &str) -> Option<String> {
    let error = Figures::of(error)?;
    let named = |key| error.word(key).and_then(|word| as_name(&word));
    named("type").or_else(|| named("code")).or_else(|| named("status"))
}

/// A string that may be a name, or a number.
fn word(json: &Extractor, slot: Slot) -> Option<String> {
    let number = || {
        let text = std::str::from_utf8(json.get(slot)?).ok()?;
        text.starts_with(|first: char| first.is_ascii_digit() || first == '-').then(|| text.to_owned())
    };
    json.string(slot).or_else(number).and_then(|word| as_name(&word))
}

/// A name, and no sentence: it may hold anything, and is no word for a column.
fn as_name(text: &str) -> Option<String> {
    let is_name = !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_whitespace);
    is_name.then(|| text.to_owned())
}
