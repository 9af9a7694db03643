//! The first error that kept a type from being read from a tree, and its wording.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use crate::names::{self, list, quote};
use crate::node::{Id, Kind, Node, Scalar, Value};
use crate::reader::RenamedKey;
use crate::report::redact;

/// An error of the deserializer. Its text has all of it, so that an error is known again by its text.
#[derive(Clone, Debug)]
pub(crate) struct DecodeError {
    pub kind: ErrorKind,
    /// Which value it is about; filled in by the innermost that knows.
    pub place: Option<Place>,
}

/// What kept a type from being read.
#[derive(Clone, Debug)]
pub(crate) enum ErrorKind {
    /// A value of another kind than is wanted.
    Wrong { wanted: String },
    /// A key that a mapping must have.
    Missing(&'static str),
    /// A key that the type does not know.
    UnknownKey { key: String, known: &'static [&'static str] },
    /// A name that is not known, fully worded.
    Unknown(String),
    /// Anything else, in the words of the type; they may quote the contents of a variable.
    Custom(String),
    /// Follows from an error that has been reported.
    Suppressed,
}

/// Which value an error is about, and where that shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// The value itself.
    Value(Id),
    /// The key of the value.
    Key(Id),
}

impl DecodeError {
    pub(crate) fn message(message: String) -> Self {
        Self { kind: ErrorKind::Custom(message), place: None }
    }

    pub(crate) fn wrong(expected: &dyn Expected) -> Self {
        Self { kind: ErrorKind::Wrong { wanted: wanted(&expected.to_string()) }, place: None }
    }

    pub(crate) fn suppressed() -> Self {
        Self { kind: ErrorKind::Suppressed, place: None }
    }

    /// Sets the place, unless a nearer one is known already.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    fn unknown(message: String) -> Self {
        Self { kind: ErrorKind::Unknown(message), place: None }
    }
}

impl ErrorKind {
    /// What to report of this value; `None` if there is nothing to report, or it is not about this value.
    pub(crate) fn message(self, node: &Node, renamed: &[RenamedKey]) -> Option<String> {
        match self {
            Self::Wrong { wanted } => Some(format!("found {}, wanted {wanted}{}", found(node), hint(node, &wanted))),
            Self::UnknownKey { key, known } => {
                let is_old = |name: &str| renamed.iter().any(|key| key.old == name && key.is_of(known));
                let known: Vec<&str> = known.iter().copied().filter(|name| !is_old(name)).collect();
                Some(names::unknown("key", &key, &key, &known))
            }
            Self::Unknown(message) => Some(message),
            Self::Custom(message) => Some(redact(message, node)),
            Self::Missing(_) | Self::Suppressed => None,
        }
    }
}

impl Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::message(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self { kind: ErrorKind::UnknownKey { key: field.to_owned(), known }, place: None }
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::unknown(names::unknown("value", variant, variant, known))
    }

    /// The same key twice is a problem of the tree; only an old name of a key can repeat a field.
    fn duplicate_field(field: &'static str) -> Self {
        Self::message(format!("`{field}` stands here twice, once by an old name"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { kind: ErrorKind::Missing(field), place: None }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for DecodeError {}

/// The error that one of a few names is wanted.
pub(crate) fn wrong_choice(known: &[&str]) -> DecodeError {
    let wanted = if let [only] = known { format!("`{only}`") } else { format!("one of {}", list(known)) };
    DecodeError { kind: ErrorKind::Wrong { wanted }, place: None }
}

/// The error that a name is none of the known ones.
pub(crate) fn unknown_choice(noun: &str, scalar: &Scalar, known: &[&str]) -> DecodeError {
    let written = scalar.written.as_ref().unwrap_or(&scalar.text);
    DecodeError::unknown(names::unknown(noun, &scalar.text, written, known))
}

/// What stands there, as the file writes it.
fn found(node: &Node) -> String {
    let scalar = match &node.kind {
        Kind::List(items) if items.is_empty() => return "an empty list".into(),
        Kind::List(_) => return "a list".into(),
        Kind::Mapping(entries) if entries.is_empty() => return "an empty mapping".into(),
        Kind::Mapping(_) => return "a mapping".into(),
        Kind::Scalar(scalar) => scalar,
    };
    if let Some(written) = &scalar.written {
        return quote(written);
    }
    match scalar.value() {
        Value::Nothing => "nothing".into(),
        Value::Bool(_) => quote(&scalar.text),
        Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => format!("number {}", quote(&scalar.text)),
        Value::Text(text) => format!("text {}", quote(text)),
    }
}

/// What may help to correct it.
fn hint(node: &Node, wanted: &str) -> &'static str {
    let scalar = node.scalar().filter(|scalar| scalar.written.is_none() && wanted.starts_with("a whole number"));
    let Some(scalar) = scalar else { return "" };
    let is_whole = scalar.text.bytes().all(|byte| byte.is_ascii_digit());
    match (is_whole, scalar.plain, scalar.text.parse::<u64>()) {
        (true, false, Ok(_)) => "; leave out the quotes",
        (true, true, Err(_)) => "; it is too large",
        _ => "",
    }
}

/// Rewords what serde's and the standard library's types expect in terms of YAML.
fn wanted(expected: &str) -> String {
    let words = match expected {
        "a boolean" => "`true` or `false`",
        "a string" | "path string" => "text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "socket address" => "an IP address and a port, such as `127.0.0.1:3000`",
        "u8" => "a whole number of 0 to 255",
        "u16" => "a whole number of 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        _ if expected.starts_with("a nonzero ") => "a whole number of at least 1",
        _ if expected.starts_with("struct ") => "a mapping",
        _ => expected,
    };
    words.to_owned()
}
