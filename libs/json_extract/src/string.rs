//! JSON strings: where one ends that may be cut anywhere, and whether it is a word.

use memchr::memchr2;

/// Where the rest of a string ends in a piece: how much of it was read, quote included, and, where it goes on, whether
/// a backslash was its last byte.
pub(crate) struct EndOfString {
    pub(crate) read: usize,
    pub(crate) state: Option<bool>,
}

/// Finds the end of a string in its next piece; `escaped` says that the last one ended with a backslash.
#[inline]
pub(crate) fn end_of_string(piece: &[u8], escaped: bool) -> EndOfString {
    let mut at = usize::from(escaped);
    while let Some(found) = piece.get(at..).and_then(quote_or_backslash) {
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

/// The place of the first quote or backslash. Most strings are short, so the first bytes are looked at right here.
#[inline]
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const NEAR: usize = 4;
    let (blocks, _) = text.as_chunks::<8>();
    for (number, block) in blocks.iter().take(NEAR).enumerate() {
        let block = u64::from_le_bytes(*block);
        let found = zeros(block ^ (ONES * u64::from(b'"'))) | zeros(block ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let near = 8 * blocks.len().min(NEAR);
    Some(near + memchr2(b'"', b'\\', &text[near..])?)
}

/// A byte of 1 in each place.
const ONES: u64 = u64::MAX / 255;

/// The highest bit of each byte that is zero. Bytes above the lowest such one may have it, too.
#[inline]
fn zeros(bytes: u64) -> u64 {
    bytes.wrapping_sub(ONES) & !bytes & (ONES << 7)
}

/// The content of a JSON text that is a string; none where it is none, or no text.
#[must_use]
pub fn content(value: &[u8]) -> Option<String> {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""))?;
    // all bytes are looked at: that has no branch, and is done many at a time
    let is_other = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    let is_plain = inner.iter().fold(0, |found, byte| found | u8::from(is_other(byte))) == 0;
    if is_plain { str::from_utf8(inner).ok().map(str::to_owned) } else { serde_json::from_slice(value).ok() }
}

/// Whether the JSON text of a value is a string with more in it than white space.
pub(crate) fn is_word(value: &[u8]) -> bool {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|inner| match inner.contains(&b'\\') {
        true => serde_json::from_slice::<String>(value).is_ok_and(|text| !text.trim().is_empty()),
        false => !inner.trim_ascii().is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_quote_or_backslash_is_found(
            text in prop::collection::vec(prop_oneof![8 => Just(b'a'), 2 => any::<u8>(), 1 => prop::sample::select(b"\"\\#]!\xA2\xDC\x23".to_vec())], 0..60),
        ) {
            let wanted = text.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(quote_or_backslash(&text), wanted);
        }

        #[test]
        fn a_content_is_what_serde_makes_of_it(
            inner in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\"\\nu0 \n".to_vec())], 0..12),
            said in any::<String>(),
        ) {
            for value in [[b"\"", &*inner, b"\""].concat(), inner, serde_json::to_vec(&said).unwrap()] {
                let wanted = Some(&value).filter(|value| value.starts_with(b"\""));
                let wanted = wanted.and_then(|value| serde_json::from_slice::<String>(value).ok());
                // of what is no value nobody asks
                if value.ends_with(b"\"") {
                    prop_assert_eq!(content(&value), wanted);
                }
            }
        }
    }
}
