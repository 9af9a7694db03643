//! Whose call it is: the API key that a request carries, and the name by which all plugins and their operators know it.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::digest::{SHA256, digest};

/// Hexadecimal digits of a hash that are kept.
const DIGITS: usize = 32;

/// The API key that a request carries: Anthropic's header, `authorization`, or those of Azure and Google. An empty one is
/// none.
#[must_use]
pub fn api_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bare = |name: &str| headers.get(name).map(|value| value.as_bytes().trim_ascii()).filter(|key| !key.is_empty());
    let bearer = || {
        let value = headers.get(AUTHORIZATION)?.as_bytes().trim_ascii();
        // the scheme is no part of the key
        let key = value.iter().position(|byte| *byte == b' ').map_or(value, |space| value[space..].trim_ascii());
        (!key.is_empty()).then_some(key)
    };
    bare("x-api-key").or_else(bearer).or_else(|| bare("api-key")).or_else(|| bare("x-goog-api-key"))
}

/// The beginning of the SHA-256 of a key, in 32 hexadecimal digits: what stands for it wherever it must not be seen itself.
#[must_use]
pub fn fingerprint(key: &[u8]) -> String {
    let mut text = String::with_capacity(DIGITS);
    for byte in &digest(&SHA256, key).as_ref()[..DIGITS / 2] {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_key_is_the_same_wherever_it_comes_from_and_known_by_the_beginning_of_its_hash() {
        let known = |headers: &[(&'static str, &'static str)]| {
            let headers =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            api_key(&headers.collect()).map(fingerprint)
        };
        // printf %s secret | sha256sum
        let secret = Some("2bb80d537b1da3e38bd30361aa855686".to_owned());
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("authorization", "bearer  secret "),
            ("authorization", "secret"),
            ("x-api-key", "secret"),
            ("api-key", "secret"),
            ("x-goog-api-key", "secret"),
        ] {
            assert_eq!(known(&[(name, value)]), secret, "{name}: {value}");
        }
        assert_eq!(known(&[("authorization", "Bearer other"), ("x-api-key", "secret")]), secret);
        for nothing in [&[][..], &[("authorization", "")], &[("x-api-key", " ")]] {
            assert_eq!(known(nothing), None, "{nothing:?}");
        }
    }
}
