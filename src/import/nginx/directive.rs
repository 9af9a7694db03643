//! A directive: its name, its arguments, its block, and where it stands.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, as it was named.
    pub(super) file: Rc<str>,
    /// The line, from 1.
    pub(super) line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A directive.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    /// Its name.
    pub(super) name: String,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// What stands in its braces; `None` where it ends with `;`.
    pub(super) block: Option<Vec<Directive>>,
    /// Where it begins.
    pub(super) place: Place,
    /// Whether the import has seen to it. What nobody has seen to in the end was left out.
    is_done: Cell<bool>,
}

impl Directive {
    pub(super) fn new(name: String, args: Vec<String>, block: Option<Vec<Self>>, place: Place) -> Self {
        Self { name, args, block, place, is_done: Cell::new(false) }
    }

    /// The first argument; empty where it has none.
    pub(super) fn first(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// The directives in its braces.
    pub(super) fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Notes that the import has seen to it.
    pub(super) fn done(&self) -> &Self {
        self.is_done.set(true);
        self
    }

    /// Notes that it has seen to all that stands in its braces, too.
    pub(super) fn all_done(&self) {
        self.done();
        self.children().iter().for_each(Self::all_done);
    }

    /// Whether the import has seen to it.
    pub(super) fn is_done(&self) -> bool {
        self.is_done.get()
    }

    /// It on one line, for messages.
    pub(super) fn summary(&self) -> String {
        let words = std::iter::once(&self.name).chain(&self.args);
        words.map(|word| printed(word)).collect::<Vec<_>>().join(" ")
    }
}

impl PartialEq for Directive {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.args == other.args && self.block == other.block
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        match &self.block {
            None => writeln!(f, ";"),
            Some(children) => {
                writeln!(f, " {{")?;
                children.iter().try_for_each(|child| write!(f, "{child}"))?;
                writeln!(f, "}}")
            }
        }
    }
}

/// A word as nginx would read it again.
fn printed(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:$^~*=+-|()[]?<>,@%&!".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
