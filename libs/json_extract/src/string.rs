//! JSON strings: where one ends that may be cut anywhere, and whether it is a word.

use memchr::memchr2;

/// Where the rest of a string ends in a piece: how much of it was read, quote included, and, where it goes on, whether
/// a backslash was its last byte.
pub(crate) struct EndOfString {
    pub(crate) read: usize,
    pub(crate) state: Option<bool>,
}

/// Finds the end of a string in its next piece; `escaped` says that the last one ended with a backslash.
pub(crate) fn end_of_string(piece: &[u8], escaped: bool) -> EndOfString {
    let mut at = usize::from(escaped);
    while let Some(found) = piece.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if piece[at] == b'"' {
            return EndOfString { read: at + 1, state: None };
        }
        if at + 1 == piece.len() {
            return EndOfString { read: at + 1, state: Some(true) };
        }
        at += 2;
    }
    EndOfString { read: piece.len(), state: Some(false) }
}

/// Whether the JSON text of a value is a string with more in it than white space.
pub(crate) fn is_word(value: &[u8]) -> bool {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|inner| match inner.contains(&b'\\') {
        true => serde_json::from_slice::<String>(value).is_ok_and(|text| !text.trim().is_empty()),
        false => !inner.trim_ascii().is_empty(),
    })
}
