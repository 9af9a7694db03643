//! The first thing that kept a type from being made of a tree, and how to say it.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::node::{Id, Kind, Node, Scalar, Value};
use super::report::{discreet, listed, shown, unknown};

/// What kept a type from being made.
#[derive(Debug)]
pub(super) struct Fault {
    pub what: What,
    /// Which value is at fault; filled in by the first that knows.
    pub place: Option<Place>,
}

/// The kinds of fault.
#[derive(Debug)]
pub(super) enum What {
    /// A value of another kind than is wanted.
    Wrong { wanted: String },
    /// A key that a mapping must have.
    Missing(&'static str),
    /// A name that is not known, in words fit to be told.
    Unknown(String),
    /// Anything else, in the words of the type; they may quote what a variable holds.
    Said(String),
    /// Nothing that has not been told already.
    Consequence,
}

/// Which value is at fault, and where that shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The value itself.
    Value(Id),
    /// The key of the value.
    Key(Id),
}

impl Fault {
    pub(super) fn said(message: String) -> Self {
        Self { what: What::Said(message), place: None }
    }

    pub(super) fn wrong(expected: &dyn Expected) -> Self {
        Self { what: What::Wrong { wanted: wanted(&expected.to_string()) }, place: None }
    }

    pub(super) fn consequence() -> Self {
        Self { what: What::Consequence, place: None }
    }

    /// The fault with its place, unless one nearer to it was known already.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    fn unknown(message: String) -> Self {
        Self { what: What::Unknown(message), place: None }
    }
}

impl What {
    /// What to tell of this value; `None` if there is nothing to tell, or it is not of this value.
    pub(super) fn message(self, node: &Node) -> Option<String> {
        match self {
            Self::Wrong { wanted } => Some(format!("found {}, wanted {wanted}{}", found(node), hint(node, &wanted))),
            Self::Unknown(message) => Some(message),
            Self::Said(message) => Some(discreet(message, node)),
            Self::Missing(_) | Self::Consequence => None,
        }
    }
}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::said(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(expected)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::unknown(unknown("key", field, field, known))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::unknown(unknown("value", variant, variant, known))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { what: What::Missing(field), place: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Fault {}

/// That one of a few names is wanted.
pub(super) fn wrong_choice(known: &[&str]) -> Fault {
    let wanted = if let [only] = known { format!("`{only}`") } else { format!("one of {}", listed(known)) };
    Fault { what: What::Wrong { wanted }, place: None }
}

/// That a name is not one of those known.
pub(super) fn unknown_choice(noun: &str, scalar: &Scalar, known: &[&str]) -> Fault {
    let written = scalar.written.as_ref().unwrap_or(&scalar.text);
    Fault::unknown(unknown(noun, &scalar.text, written, known))
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
        return shown(written);
    }
    match scalar.value() {
        Value::Nothing => "nothing".into(),
        Value::Bool(_) => shown(&scalar.text),
        Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => format!("number {}", shown(&scalar.text)),
        Value::Text(text) => format!("text {}", shown(text)),
    }
}

/// What may help to put it right.
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

/// What serde's and the standard library's types say that they expect, in the words of the YAML.
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
