//! How the head of an upstream's response says where its body ends, before it is passed on: what could be understood in two ways never is.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

/// Looks at a head that Pingora could read. The value to put in the place of its content-lengths, if there are several that say the same; Pingora
/// takes no others.
///
/// # Errors
/// The fault. The body ends where nobody can tell, or in a coding that is not undone here.
pub fn check(headers: &HeaderMap) -> Result<Option<HeaderValue>, &'static str> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        // Pingora has dropped a length beside a coding
        let first = length.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default();
        let is_one = lengths.next().is_none() && first.len() == length.len();
        return if is_one { Ok(None) } else { one(first).map(Some) };
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(None),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(None),
        _ => Err("its transfer-encoding is not chunked alone"),
    }
}

fn one(length: &[u8]) -> Result<HeaderValue, &'static str> {
    HeaderValue::from_bytes(length.trim_ascii()).map_err(|_| "its content-length is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_length_or_chunks_or_neither_pass_as_they_are() {
        for fields in
            [&[][..], &[(CONTENT_LENGTH, "5")], &[(TRANSFER_ENCODING, "chunked")], &[(TRANSFER_ENCODING, "Chunked")]]
        {
            assert_eq!(check(&headers(fields)), Ok(None), "{fields:?}");
        }
    }

    #[test]
    fn lengths_that_agree_become_one() {
        for fields in [
            &[(CONTENT_LENGTH, "5"), (CONTENT_LENGTH, "5")][..],
            &[(CONTENT_LENGTH, "5, 5")],
            &[(CONTENT_LENGTH, "5 ,5,5")],
        ] {
            assert_eq!(check(&headers(fields)), Ok(Some(HeaderValue::from_static("5"))), "{fields:?}");
        }
    }

    #[test]
    fn codings_other_than_chunked_are_refused() {
        for fields in [
            &[(TRANSFER_ENCODING, "chunked, chunked")][..],
            &[(TRANSFER_ENCODING, "chunked"), (TRANSFER_ENCODING, "chunked")],
            &[(TRANSFER_ENCODING, "gzip, chunked")],
            &[(TRANSFER_ENCODING, "gzip")],
            &[(TRANSFER_ENCODING, "identity")],
            &[(TRANSFER_ENCODING, "")],
            &[(TRANSFER_ENCODING, "identity"), (TRANSFER_ENCODING, "chunked")],
        ] {
            assert!(check(&headers(fields)).is_err(), "{fields:?}");
        }
    }
}
