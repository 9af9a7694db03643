//! A key of an object: what it says, and how it is written where that is its normal spelling.

use std::borrow::Cow;
use std::ops::Deref;

use crate::{Fault, Str};

/// A key of an object, with the escapes resolved.
#[derive(Debug, Default)]
pub struct Key<'t> {
    says: Cow<'t, [u8]>,
    /// Empty where the text has it with escapes.
    quoted: &'t [u8],
}

impl<'t> Key<'t> {
    pub(crate) fn of(string: Str<'t>) -> Result<Self, Fault> {
        let quoted = if string.has_escapes() { &[] } else { string.quoted() };
        Ok(Self { says: string.decoded()?, quoted })
    }

    /// How many of its bytes are no part of the text.
    pub(crate) fn decoded(&self) -> usize {
        if let Cow::Owned(says) = &self.says { says.len() } else { 0 }
    }

    /// As it is written, with its quotes, where it has no escapes. That is its normal spelling.
    #[must_use]
    pub fn plain(&self) -> Option<&'t [u8]> {
        (!self.quoted.is_empty()).then_some(self.quoted)
    }
}

impl Deref for Key<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.says
    }
}
