//! How far into a JSON text the extractor is.

use crate::{Members, Pattern};

/// An open container in which something is looked for.
#[derive(Debug)]
pub(crate) enum Open<S: 'static> {
    Object(Members<S>),
    List(&'static Pattern<S>),
}

impl<S> Clone for Open<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Open<S> {}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Before the text.
    Start,
    /// In an object, before a key or its end.
    BeforeKey,
    Key {
        escaped: bool,
    },
    Colon,
    BeforeValue,
    /// In a list, before an element or its end.
    BeforeElement,
    /// In a string that is a value.
    String {
        escaped: bool,
    },
    /// In a number or a word.
    Scalar,
    /// In an object or a list in which nothing is looked for, at this depth.
    Nested {
        depth: usize,
    },
    /// In a string within it.
    NestedString {
        depth: usize,
        escaped: bool,
    },
    /// The text is complete.
    Complete,
    /// The rest does not matter.
    Skipped,
    /// It is no JSON object.
    Broken,
}
