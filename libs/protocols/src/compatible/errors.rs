//! Errors under the names that servers have for them, in a body or an event whose status says that all is well: a table of where
//! they stand, and what of them is their name.

use super::VARIANTS;
use crate::lenient_object::LenientObject;
use crate::slot::{Extractor, Members, Pattern, Slot};

/// The longest name of an error, in bytes.
const LONGEST: usize = 128;
/// The name of an error that says none.
const UNNAMED: &str = "error";

/// Where an error may stand at the top of an object.
pub(crate) const ERROR_MEMBERS: Members = &[
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

/// One form of an error object.
struct ErrorForm {
    /// The values by which it is known: any of them is enough.
    signs: &'static [Slot],
    known_by: KnownBy,
    /// Where its name may stand; the first that is one counts.
    names: &'static [Name],
}

/// What a value has to be to tell of an error.
#[derive(Clone, Copy)]
enum KnownBy {
    /// More than a way to say that there is none.
    Content,
    /// The same, in what is no part of an answer: an answer may have such members of its own.
    ContentOutsideAnswer,
    /// Anything but `null`.
    Presence,
    /// The word `error`.
    Word,
}

/// Where a name may stand.
#[derive(Clone, Copy)]
enum Name {
    /// The value itself, a string or a number.
    Value(Slot),
    /// The same, unless it is but the word `error`.
    Kind(Slot),
    /// The same, without the package before `#`, which AWS names, too.
    Unqualified(Slot),
    /// In the object: its type, else its code, else its status.
    Object(Slot),
    /// The same in the first object of a list.
    First(Slot),
}

/// The forms there are. The first that an object has counts.
static FORMS: [ErrorForm; 6] = [
    // OpenAI, Anthropic, Ollama, Gemini, Qwen, …
    ErrorForm {
        signs: &[Slot::Error],
        known_by: KnownBy::Content,
        names: &[Name::Object(Slot::Error), Name::Value(Slot::Error), Name::Value(Slot::ErrorCode)],
    },
    // Cloudflare, JSON:API
    ErrorForm { signs: &[Slot::Errors], known_by: KnownBy::Content, names: &[Name::First(Slot::Errors)] },
    // vLLM, SGLang
    ErrorForm {
        signs: &[Slot::Object, Slot::Type],
        known_by: KnownBy::Word,
        names: &[Name::Kind(Slot::Type), Name::Value(Slot::ErrorCode)],
    },
    // AWS, and Bedrock's streams
    ErrorForm {
        signs: &[Slot::Exception, Slot::ExceptionType],
        known_by: KnownBy::Presence,
        names: &[Name::Unqualified(Slot::Exception), Name::Unqualified(Slot::ExceptionType)],
    },
    // MiniMax
    ErrorForm { signs: &[Slot::BaseStatus], known_by: KnownBy::Content, names: &[Name::Value(Slot::BaseStatus)] },
    // Qwen, AWS, Kong, FastAPI
    ErrorForm {
        signs: &[Slot::ErrorCode, Slot::ErrorMessage, Slot::ErrorDetail],
        known_by: KnownBy::ContentOutsideAnswer,
        names: &[Name::Value(Slot::ErrorCode)],
    },
];

/// Whether a reason to stop is a failure.
pub(crate) fn is_failure(stop: &str) -> bool {
    VARIANTS.iter().flat_map(|variant| variant.failures).any(|failure| stop.eq_ignore_ascii_case(failure))
}

/// The name of the error that an object tells of, if it does. What `is_answer` may have a `code`, a `message` and a `detail` of its
/// own.
pub(crate) fn error_name(json: &Extractor, is_answer: bool) -> Option<String> {
    let form = FORMS.iter().find(|form| form.signs.iter().any(|sign| form.known_by.knows(json, *sign, is_answer)))?;
    Some(form.names.iter().find_map(|name| name.read(json)).unwrap_or_else(unnamed))
}

impl KnownBy {
    fn knows(self, json: &Extractor, slot: Slot, is_answer: bool) -> bool {
        match self {
            Self::Content => says_something(json, slot),
            Self::ContentOutsideAnswer => !is_answer && says_something(json, slot),
            Self::Presence => json.has(slot),
            Self::Word => json.get(slot) == Some(br#""error""#),
        }
    }
}

impl Name {
    fn read(self, json: &Extractor) -> Option<String> {
        let text = |slot| json.get(slot).and_then(|value| std::str::from_utf8(value).ok());
        match self {
            Self::Value(slot) => word(json, slot),
            Self::Kind(slot) => word(json, slot).filter(|kind| kind != UNNAMED),
            Self::Unqualified(slot) => word(json, slot).and_then(|name| name.rsplit('#').next().map(str::to_owned)),
            Self::Object(slot) => text(slot).and_then(of_object),
            Self::First(slot) => {
                let objects: Vec<&serde_json::value::RawValue> = serde_json::from_str(text(slot)?).ok()?;
                of_object(objects.first()?.get())
            }
        }
    }
}

/// The name of an error of which nothing is known but that it is one.
pub(crate) fn unnamed() -> String {
    UNNAMED.to_owned()
}

/// Whether there is a value that is more than a way to say that there is none.
fn says_something(json: &Extractor, slot: Slot) -> bool {
    const NOTHING: [&[u8]; 6] = [b"\"\"", b"{}", b"[]", b"false", b"0", b"\"0\""];
    json.has(slot) && json.get(slot).is_none_or(|value| !NOTHING.contains(&value))
}

/// The name of the error object that stands there.
pub(crate) fn name_of(json: &Extractor, slot: Slot) -> Option<String> {
    Name::Object(slot).read(json)
}

/// The name in an error object: its type, else its code, else its status.
fn of_object(error: &str) -> Option<String> {
    let error = LenientObject::of(error)?;
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
