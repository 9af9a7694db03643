//! Changes that a plugin wants made to a head. The head itself is only read, so nobody copies it.

use http::header::{HeaderName, HeaderValue};

/// Changes to headers, in order.
#[derive(Debug, Default)]
pub struct HeaderEdits(Vec<HeaderEdit>);

/// One change.
#[derive(Debug)]
pub enum HeaderEdit {
    /// The header has this one value.
    Set(HeaderName, HeaderValue),
    /// The header is gone.
    Remove(HeaderName),
}

impl HeaderEdits {
    /// Gives the header this one value.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(HeaderEdit::Set(name, value));
    }

    /// Removes the header.
    pub fn remove(&mut self, name: HeaderName) {
        self.0.push(HeaderEdit::Remove(name));
    }

    /// The changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderEdit> {
        self.0.iter()
    }
}
