//! Events that bring text, and are spelled as the one before them but for that: nearly all of a stream. They need not be read as a
//! whole.

use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

use crate::slot::Extractor;

/// The longest beginning of an event that is remembered.
const LONGEST: usize = 2 << 10;

/// What such events of a protocol look like.
#[derive(Debug)]
pub(crate) struct TextEvent {
    /// Finds what stands before the text, with its quote. Made once: that takes longer than to look for it in an event.
    pub(crate) before: LazyLock<Finder<'static>>,
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
        if let Some(at) = event.before.find(&data[..data.len().min(LONGEST)]) {
            self.beginning.extend_from_slice(&data[..at + event.before.needle().len()]);
        }
        None
    }

    /// The event has been read.
    pub(super) fn was_read(&mut self, event: &TextEvent, json: &Extractor) {
        self.is_known = !self.beginning.is_empty() && (event.is_one)(json);
    }
}

/// Whether the rest of an object has only members whose values are plain: no lists, no objects, no text with escapes. None of them has one of
/// these names.
pub(crate) fn is_plain_rest(rest: &[u8], names: &[&[u8]]) -> bool {
    fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
        let text = text.strip_prefix(b"\"")?;
        let end = memchr2(b'"', b'\\', text)?;
        (text[end] == b'"').then(|| (&text[..end], text[end + 1..].trim_ascii_start()))
    }
    fn behind_member<'r>(rest: &'r [u8], names: &[&[u8]]) -> Option<&'r [u8]> {
        let (name, rest) = string(rest.strip_prefix(b",")?.trim_ascii_start())?;
        let value = rest.strip_prefix(b":")?.trim_ascii_start();
        let behind = match string(value) {
            Some((_, behind)) => behind,
            None => {
                let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                let end = value.iter().position(|byte| !is_plain(byte)).filter(|end| *end > 0)?;
                value[end..].trim_ascii_start()
            }
        };
        (!names.contains(&name)).then_some(behind)
    }
    let mut rest = rest.trim_ascii();
    while rest != b"}" {
        let Some(behind) = behind_member(rest, names) else { return false };
        rest = behind;
    }
    true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_plain_while_it_has_no_list_no_object_and_no_name_that_matters() {
        for plain in ["}", " } ", r#","at":12}"#, r#", "a" : -1.5e+3 , "b":"x y" ,"c":null }"#] {
            assert!(is_plain_rest(plain.as_bytes(), &[b"type"]), "{plain}");
        }
        for other in [
            "",
            "}}",
            ",}",
            r#","at":}"#,
            r#","at":1"#,
            r#","at":[1]}"#,
            r#","at":{"type":1}}"#,
            r#","a\u0074":1}"#,
            r#","a":"\""}"#,
            r#","type":"message_stop"}"#,
            r#","at":1,"type":1}"#,
            r#","at":1 2}"#,
        ] {
            assert!(!is_plain_rest(other.as_bytes(), &[b"type"]), "{other}");
        }
    }
}
