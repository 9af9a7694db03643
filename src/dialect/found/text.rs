//! Where a JSON string ends that may be cut anywhere.

use memchr::memchr2;

/// Where the rest of a string ends in a piece: how much of it was read, quote included, and, where it goes on, whether
/// a backslash was its last byte.
pub(super) struct EndOfText {
    pub(super) read: usize,
    pub(super) state: Option<bool>,
}

/// Finds the end of a string in its next piece; `escaped` says that the last one ended with a backslash.
pub(super) fn end_of_text(piece: &[u8], escaped: bool) -> EndOfText {
    let mut at = usize::from(escaped);
    while let Some(found) = piece.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if piece[at] == b'"' {
            return EndOfText { read: at + 1, state: None };
        }
        if at + 1 == piece.len() {
            return EndOfText { read: at + 1, state: Some(true) };
        }
        at += 2;
    }
    EndOfText { read: piece.len(), state: Some(false) }
}
