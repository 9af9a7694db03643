//! Decoded text, percent-encoded so that a server reads it back as it was.

const HEXADECIMAL: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a decoded piece of a path. Slashes stay; whatever has a meaning of its own in a target, or none at all, is encoded.
///
/// ```
/// let mut out = Vec::new();
/// url_path::encode_path(b"a b/50%?", &mut out);
/// assert_eq!(out, b"a%20b/50%25%3F");
/// ```
pub fn encode_path(piece: &[u8], out: &mut Vec<u8>) {
    percent_encode(piece, out, |byte| is_plain(byte) || matches!(byte, b'/' | b'&' | b'=' | b'+'));
}

/// Appends a decoded value of a query. In one, `&`, `=` and `+` have a meaning too.
pub fn encode_query(value: &[u8], out: &mut Vec<u8>) {
    percent_encode(value, out, |byte| is_plain(byte) || byte == b'/');
}

/// Appends a text in which all bytes are percent-encoded but those that stay.
///
/// ```
/// let mut out = Vec::new();
/// url_path::percent_encode("é!".as_bytes(), &mut out, |byte| byte.is_ascii_graphic());
/// assert_eq!(out, b"%C3%A9!");
/// ```
pub fn percent_encode(bytes: &[u8], out: &mut Vec<u8>, stays: impl Fn(u8) -> bool) {
    for &byte in bytes {
        if stays(byte) {
            out.push(byte);
        } else {
            out.extend(percent_encoded(byte));
        }
    }
}

/// A byte, percent-encoded.
#[must_use]
pub fn percent_encoded(byte: u8) -> [u8; 3] {
    let digit = |half: u8| HEXADECIMAL[usize::from(half)];
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

/// RFC 3986 §3.3: what stands for itself in a segment of a path and in a query alike.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b',' | b';' | b':' | b'@'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::normalize;

    #[test]
    fn what_would_be_read_as_something_else_is_encoded() {
        let encoded = |encode: fn(&[u8], &mut Vec<u8>), text: &str| {
            let mut out = Vec::new();
            encode(text.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(encoded(encode_path, "/v1/a-b_c.d~e:f@g"), "/v1/a-b_c.d~e:f@g");
        assert_eq!(encoded(encode_path, "a%2Fb?c#d\r\n é\"<>"), "a%252Fb%3Fc%23d%0D%0A%20%C3%A9%22%3C%3E");
        assert_eq!(encoded(encode_path, "a=b&c+d"), "a=b&c+d");
        assert_eq!(encoded(encode_query, "a=b&c+d/e"), "a%3Db%26c%2Bd/e");
    }

    proptest! {
        #[test]
        fn a_path_that_was_encoded_is_read_back(segments in prop::collection::vec("[^/.\0]{1,6}", 0..5)) {
            let path = format!("/{}", segments.join("/"));
            let mut out = Vec::new();
            encode_path(path.as_bytes(), &mut out);
            let out = String::from_utf8(out).unwrap();
            prop_assert!(out.is_ascii());
            prop_assert_eq!(normalize(&out).unwrap(), path);
        }
    }
}
