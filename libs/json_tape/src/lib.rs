//! Reads JSON texts without a tree and without a copy of them: strictly from front to back ([`Reader`]), or noted on a tape, by
//! which its values are visited in any order, the members of an object sorted by key. The memory a tape takes has a constant
//! bound. Knows the meaning of no member.

mod block;
mod exact;
mod feed;
mod key;
mod reader;
mod scan;
mod string;
mod tape;
mod text;

use std::fmt;

pub use feed::Feed;
pub use key::Key;
pub use reader::Reader;
pub use string::{Str, spell_normally};
pub use tape::Tape;
pub use text::{Kind, Member, Open, Text, Value};

/// Why a text is not visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no JSON.
    Broken,
    /// Its values are nested deeper than the caller allows.
    TooDeep,
    /// It has more strings and containers than [`Tape::MOST`], or objects that are open at the same time have more members
    /// than [`Open::MOST`], or more bytes in keys with escapes than [`Open::MOST_DECODED`].
    TooMany,
    /// A key stands twice in an object whose [exact form](Text::feed_exact) is wanted.
    Duplicate,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "it is no JSON",
            Self::TooDeep => "its values are nested too deep",
            Self::TooMany => "it has too many values",
            Self::Duplicate => "a key stands twice in an object",
        })
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests;
