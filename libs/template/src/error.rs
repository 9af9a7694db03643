//! Why a text is no template.

use std::error::Error;
use std::fmt;

/// Why a text is no [`Template`](crate::Template).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// The caller knows no variable of this name.
    Unknown {
        /// The name, without its dollar.
        name: String,
    },
    /// No name follows a dollar.
    NoName {
        /// Where the dollar stands in the text, in characters from 1.
        column: usize,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "`${name}` is no variable; a dollar itself is written `$$`"),
            Self::NoName { column } => {
                write!(f, "no name follows the `$` at character {column}; a dollar itself is written `$$`")
            }
        }
    }
}

impl Error for TemplateError {}
