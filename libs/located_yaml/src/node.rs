//! A file as a tree: every value with its place. Knows nothing of the types read from it.

use crate::located::Location;

/// Names a node within its tree. Nodes are numbered in the order of the text, each before what it holds.
pub type Id = usize;

/// A value of the file.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub id: Id,
    /// Where it stands; for what an alias repeats, where the anchor stands.
    pub mark: Mark,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// A single value.
    Scalar(Scalar),
    /// A list of values.
    List(Vec<Node>),
    /// A mapping of keys to values; no key stands in it twice.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// A key; always text.
#[derive(Clone, Debug)]
pub struct Key {
    /// What it says.
    pub text: String,
    /// Where it stands.
    pub mark: Mark,
}

/// A piece of a line.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Where it begins.
    pub at: Location,
    /// In characters; 1 for what does not end on its line.
    pub width: usize,
}

/// A single value.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// Its text, with variables filled in.
    pub text: String,
    /// The text of the file, if variables were filled in.
    pub written: Option<String>,
    /// Whether it stands without quotes, so that its text decides its type.
    pub plain: bool,
}

/// A single value by its type, as YAML 1.2 has it: `on`, `off`, `yes` and `no` are text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An empty value, `~` or `null`.
    Nothing,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of at least 0.
    Unsigned(u64),
    /// A negative whole number.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// Anything else, and what stands in quotes.
    Text(&'a str),
}

impl Node {
    /// The value of a key; `None` also where this is not a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key.text == key).map(|entry| &entry.value)
    }

    /// Its entries; none where it is not a mapping.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => &[],
        }
    }

    /// Its items; none where it is not a list.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar(_) | Kind::Mapping(_) => &[],
        }
    }

    /// Whether nothing stands in its place, or `null`.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.value() == Value::Nothing)
    }

    /// The mapping that holds this value under a key, and the key.
    pub(crate) fn holder_of(&self, value: Id) -> Option<(&Node, &Key)> {
        self.all().find_map(|node| {
            let entry = node.entries().iter().find(|entry| entry.value.id == value)?;
            Some((node, &entry.key))
        })
    }

    /// Itself and all it holds, in the order of the text.
    pub(crate) fn all(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        let held: Box<dyn Iterator<Item = &Node>> = match &self.kind {
            Kind::Scalar(_) => Box::new(std::iter::empty()),
            Kind::List(items) => Box::new(items.iter().flat_map(Node::all)),
            Kind::Mapping(entries) => Box::new(entries.iter().flat_map(|entry| entry.value.all())),
        };
        Box::new(std::iter::once(self).chain(held))
    }

    /// The single value it is.
    #[must_use]
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Mapping(_) => None,
        }
    }

    /// The way from this node to the one that `is_it` knows: `routes[0].upstream`.
    pub(crate) fn path_to(&self, is_it: &dyn Fn(&Node) -> bool) -> Option<String> {
        if is_it(self) {
            return Some(String::new());
        }
        let (step, rest) = match &self.kind {
            Kind::Scalar(_) => None,
            Kind::List(items) => {
                let found = |(at, item): (usize, &Node)| Some((format!("[{at}]"), item.path_to(is_it)?));
                items.iter().enumerate().find_map(found)
            }
            Kind::Mapping(entries) => {
                entries.iter().find_map(|entry| Some((entry.key.text.clone(), entry.value.path_to(is_it)?)))
            }
        }?;
        let dot = if rest.is_empty() || rest.starts_with('[') { "" } else { "." };
        Some(format!("{step}{dot}{rest}"))
    }
}

impl Scalar {
    /// Its value by its type. What stands in quotes is text.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        if self.plain { typed(&self.text) } else { Value::Text(&self.text) }
    }

    /// Its value by its type, which a variable may give it even from within quotes.
    pub(crate) fn lenient_value(&self) -> Value<'_> {
        if self.written.is_some() { typed(&self.text) } else { self.value() }
    }
}

/// The type that a text without quotes has by itself.
fn typed(text: &str) -> Value<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nothing,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let digits = unsigned.strip_prefix('-').unwrap_or(unsigned);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::Text(text);
    }
    let whole = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(hexadecimal), _) if hexadecimal.chars().all(|c| c.is_ascii_hexdigit()) => {
            u64::from_str_radix(hexadecimal, 16).ok()
        }
        (_, Some(octal)) if octal.chars().all(|c| c.is_digit(8)) => u64::from_str_radix(octal, 8).ok(),
        _ => unsigned.parse().ok(),
    };
    if let Some(whole) = whole {
        return Value::Unsigned(whole);
    }
    if let Ok(negative) = text.parse() {
        return Value::Signed(negative);
    }
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => text.parse().map_or(Value::Text(text), Value::Float),
    }
}

/// What is wrong, and where.
#[derive(Debug)]
pub struct Problem {
    /// The value that it is a problem of.
    pub node: Id,
    /// Where it shows.
    pub mark: Mark,
    /// What is wrong.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_the_type_that_yaml_1_2_gives_it() {
        for (text, value) in [
            ("", Value::Nothing),
            ("~", Value::Nothing),
            ("true", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("0", Value::Unsigned(0)),
            ("+12", Value::Unsigned(12)),
            ("-12", Value::Signed(-12)),
            ("0644", Value::Unsigned(644)),
            ("0o17", Value::Unsigned(15)),
            ("0xfF", Value::Unsigned(255)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("1.5", Value::Float(1.5)),
            ("5e3", Value::Float(5000.0)),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(typed(text), value, "{text}");
        }
        for text in [
            "on",
            "off",
            "yes",
            "no",
            "y",
            "null.",
            "1m",
            "0x",
            "0xg",
            "1_000",
            "nan",
            "inf",
            "-",
            "+",
            ".",
            "127.0.0.1",
        ] {
            assert_eq!(typed(text), Value::Text(text), "{text}");
        }
    }
}
