//! Where in a JSON text the reading has come to.

use super::{Members, Wanted};

/// A container that is open and may hold something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Open {
    Object(Members),
    List(&'static Wanted),
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Before the text.
    Start,
    /// Within an object, before a key or its end.
    BeforeKey,
    Key {
        escaped: bool,
    },
    Colon,
    BeforeValue,
    /// Within a list, before an element or its end.
    BeforeElement,
    /// Within a string that is a value.
    Text {
        escaped: bool,
    },
    /// Within a number or a word.
    Scalar,
    /// Within an object or a list of no further interest, so deep.
    Nested {
        depth: usize,
    },
    /// Within a string of it.
    NestedText {
        depth: usize,
        escaped: bool,
    },
    /// The text is complete.
    Done,
    /// The rest does not matter.
    Left,
    /// It is no JSON object.
    Broken,
}
