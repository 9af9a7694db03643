//! The last segments of a path, whatever its spelling.

use std::borrow::Cow;

/// How many segments tell an endpoint.
pub(crate) const TAIL: usize = 3;

/// Hands on the last segments of a path, the very last first, as servers read them: percent-encoding, doubled slashes, dot
/// segments and a trailing slash are undone. Missing segments are empty.
pub(crate) fn with_tail<T>(path: &str, read: impl FnOnce([&str; TAIL]) -> T) -> T {
    if is_plain(path) {
        let mut segments = path.rsplit('/');
        return read(std::array::from_fn(|_| segments.next().unwrap_or_default()));
    }
    let path = unescaped(path);
    let mut above = 0_usize; // how many segments the `..` seen so far take away
    let mut segments = path.rsplit(['/', '\\']).map(bare).filter(|segment| match *segment {
        "" | "." => false,
        ".." => {
            above += 1;
            false
        }
        _ if above > 0 => {
            above -= 1;
            false
        }
        _ => true,
    });
    read(std::array::from_fn(|_| segments.next().unwrap_or_default()))
}

/// How often a text is unescaped: `%256D` is `%6D` to one server and `m` to the next behind it.
pub(crate) const UNESCAPINGS: usize = 3;

/// Whether the path has one spelling only, as nearly all have: letters, digits and what separates words, between single
/// slashes.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    let plain = path.bytes().all(|byte| {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte == b'/' && before != b'/';
        before = byte;
        plain
    });
    plain && before != b'/'
}

/// The path without percent-encoding. Borrowed where it has none, as nearly always.
fn unescaped(path: &str) -> Cow<'_, str> {
    let mut path = Cow::Borrowed(path);
    for _ in 0..UNESCAPINGS {
        match unescaped_once(&path) {
            Some(plainer) => path = Cow::Owned(plainer),
            None => break,
        }
    }
    path
}

/// `None` if nothing in it is escaped.
fn unescaped_once(path: &str) -> Option<String> {
    let mut rest = path.as_bytes();
    let mut plain = Vec::new();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let byte = escaped_byte(&rest[at..]);
        plain.extend_from_slice(&rest[..at]);
        plain.push(byte.unwrap_or(b'%'));
        rest = &rest[at + if byte.is_some() { 3 } else { 1 }..];
    }
    if plain.is_empty() {
        return None;
    }
    plain.extend_from_slice(rest);
    Some(String::from_utf8_lossy(&plain).into_owned())
}

/// The byte for which an escape stands, if these bytes begin with one: `m` for `%6d`.
pub(crate) fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// A segment as servers compare it: without matrix parameters (`messages;v=1`), without what an unescaped
/// `?`, `#` or NUL would cut off, without space around it.
fn bare(segment: &str) -> &str {
    segment.split([';', '?', '#', '\0']).next().unwrap_or_default().trim()
}
