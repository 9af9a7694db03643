//! Changes that a plugin wants made to the headers of a request or a response. The headers themselves are only read, so no plugin
//! makes a copy of them.

use http::header::{HeaderName, HeaderValue};

/// Changes to headers, made in this order.
///
/// ```
/// # use plugin_api::{HeaderEdits, http::{HeaderName, HeaderValue, header::AUTHORIZATION}};
/// let mut edits = HeaderEdits::default();
/// edits.remove(AUTHORIZATION);
/// edits.set(HeaderName::from_static("x-api-key"), HeaderValue::from_static("of the upstream"));
/// assert_eq!(edits.iter().count(), 2);
/// ```
#[derive(Debug, Default)]
pub struct HeaderEdits(Vec<HeaderEdit>);

/// One change.
#[derive(Debug)]
pub enum HeaderEdit {
    /// The header has this one value.
    Set(HeaderName, HeaderValue),
    /// The header has this value beside those that it has.
    Append(HeaderName, HeaderValue),
    /// The header is gone.
    Remove(HeaderName),
}

impl HeaderEdit {
    /// The header that changes.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        match self {
            Self::Set(name, _) | Self::Append(name, _) | Self::Remove(name) => name,
        }
    }
}

impl HeaderEdits {
    /// Gives the header this one value.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(HeaderEdit::Set(name, value));
    }

    /// Adds a value to the header, beside those that it has: one more line of that name.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(HeaderEdit::Append(name, value));
    }

    /// Removes the header, with all of its values.
    pub fn remove(&mut self, name: HeaderName) {
        self.0.push(HeaderEdit::Remove(name));
    }

    /// The changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderEdit> {
        self.0.iter()
    }
}
