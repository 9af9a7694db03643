//! The cookies of an HTTP/2 request. Its client may split them over several headers, which compress better so; whoever reads them expects one
//! (RFC 9113 §8.2.3).

use http::HeaderValue;

/// The cookies as one header. `None` if they are none of a header together, which those of a request never are.
#[must_use]
pub fn joined<'a>(cookies: impl Iterator<Item = &'a HeaderValue>) -> Option<HeaderValue> {
    let mut all = Vec::new();
    for cookie in cookies {
        if !all.is_empty() {
            all.extend_from_slice(b"; ");
        }
        all.extend_from_slice(cookie.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(all)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_become_one_header_in_their_order() {
        let cookies = [
            HeaderValue::from_static("a=1"),
            HeaderValue::from_static("b=2; c=3"),
            HeaderValue::from_bytes(b"d=\xe4").unwrap(),
        ];
        assert_eq!(joined(cookies.iter()).unwrap().as_bytes(), b"a=1; b=2; c=3; d=\xe4");
    }
}
