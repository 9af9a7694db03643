//! Events that bring text, and are spelled as the one before them but for that: nearly all of a stream. They need not be read as a
//! whole.

use memchr::{memchr2, memmem};

use crate::slot::Extractor;

/// The longest beginning of an event that is remembered.
const LONGEST: usize = 2 << 10;

/// What such events of a protocol look like.
#[derive(Debug)]
pub(crate) struct TextEvent {
    /// What stands before the text, with its quote.
    pub(crate) before: &'static [u8],
    /// Whether what stands behind the text, and its quote, says nothing, and is all of the rest.
    pub(crate) says_nothing: fn(&[u8]) -> bool,
    /// Whether an event that was read is one.
    pub(crate) is_one: fn(&Extractor) -> bool,
}

/// The beginning of the last such event.
#[derive(Debug, Default)]
pub(super) struct TextEvents {
    beginning: Vec<u8>,
    is_known: bool,
}

impl TextEvents {
    /// The text of an event, as a JSON string, if the event is one and is spelled as the last one. Otherwise it is to be
    /// [read](Self::was_read).
    pub(super) fn text<'d>(&mut self, event: &TextEvent, data: &'d [u8]) -> Option<&'d [u8]> {
        if self.is_known
            && let Some(rest) = data.strip_prefix(&*self.beginning)
            && let Some(end) = end_of_string(rest)
            && (event.says_nothing)(&rest[end..])
        {
            let quote = self.beginning.len() - 1;
            return data.get(quote..=quote + end);
        }
        self.is_known = false;
        self.beginning.clear();
        if let Some(at) = memmem::find(&data[..data.len().min(LONGEST)], event.before) {
            self.beginning.extend_from_slice(&data[..at + event.before.len()]);
        }
        None
    }

    /// The event has been read.
    pub(super) fn was_read(&mut self, event: &TextEvent, json: &Extractor) {
        self.is_known = !self.beginning.is_empty() && (event.is_one)(json);
    }
}

/// How long the rest of a string is, with its quote.
fn end_of_string(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}
