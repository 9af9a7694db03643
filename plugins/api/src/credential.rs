//! Whose call it is: the API key that a request carries, the name by which all plugins and their operators know it, and what
//! else may be a credential.

use std::fmt;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};
use ring::digest::{SHA256, digest};

/// Hexadecimal digits of a hash that are kept.
const DIGITS: usize = 32;
const BEARER: &[u8] = b"bearer";
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The API key that a request carries: Anthropic's header, `authorization`, or those of Azure and Google. An empty one is
/// none.
#[must_use]
pub fn api_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bare = |name: HeaderName| {
        headers.get(name).map(|value| without_bearer(value.as_bytes())).filter(|key| !key.is_empty())
    };
    let bearer = || Some(without_scheme(headers.get(AUTHORIZATION)?.as_bytes())).filter(|key| !key.is_empty());
    bare(X_API_KEY).or_else(bearer).or_else(|| bare(API_KEY)).or_else(|| bare(X_GOOG_API_KEY))
}

/// Whether a header may tell who calls, by its name in lower case. Better one too many than one too few.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    let said = name.contains("auth") || name.contains("cookie") || name.ends_with("key") || name.ends_with("token");
    said && !name.contains("idempotency") && !name.starts_with("sec-websocket")
}

/// The values of a query's parameters that may tell who calls, as they are written. Names may be written with escapes.
///
/// ```
/// # use plugin_api::query_secrets;
/// assert_eq!(query_secrets("a=1&api%5Fkey=sk-1&TOKEN").collect::<Vec<_>>(), ["sk-1", ""]);
/// ```
pub fn query_secrets(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter_map(|parameter| {
        let (written, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, _) = form_urlencoded::parse(written.as_bytes()).next()?;
        is_credential(&name.to_ascii_lowercase()).then_some(value)
    })
}

/// What of a request's head must not be seen elsewhere: the values of headers that may tell who calls, without their schemes,
/// and of each cookie. There may be any number of them, and of any length.
pub fn secrets(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let is_author = |name: &str| name.contains("author") && !name.contains("authoriz");
    let named = headers.iter().filter(move |(name, _)| is_credential(name.as_str()) && !is_author(name.as_str()));
    named.flat_map(|(name, value)| {
        let is_cookie = name == COOKIE;
        // without cookies the whole is the only one
        value.as_bytes().split(move |byte| is_cookie && *byte == b';').map(move |value| {
            let named = value.iter().position(|byte| is_cookie && *byte == b'=');
            named.map_or_else(|| without_scheme(value), |equals| value[equals + 1..].trim_ascii())
        })
    })
}

/// The value of `authorization` and the like without the scheme, which is no part of a key.
fn without_scheme(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.iter().position(|byte| *byte == b' ').map_or(value, |space| value[space..].trim_ascii())
}

/// A value without `Bearer`, which some clients also put into headers that hold nothing but a key; empty where there is no key
/// behind it.
///
/// ```
/// # use plugin_api::without_bearer;
/// assert_eq!(without_bearer(b"bearer  tg_1 "), b"tg_1");
/// assert_eq!(without_bearer(b"tg_1"), b"tg_1");
/// assert_eq!(without_bearer(b"Bearer"), b"");
/// ```
#[must_use]
pub fn without_bearer(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value.split_at_checked(BEARER.len()) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(BEARER) => match key.first() {
            None | Some(b' ' | b'\t') => key.trim_ascii(),
            Some(_) => value,
        },
        _ => value,
    }
}

/// The beginning of the SHA-256 of a key, in 32 hexadecimal digits: what stands for it wherever it must not be seen itself.
#[must_use]
pub fn fingerprint(key: &[u8]) -> String {
    KeyDigest::of(key).fingerprint()
}

/// The SHA-256 of a key. No log shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, key).as_ref());
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// The beginning of it: see [`fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        // digits are text
        std::str::from_utf8(&digits).unwrap_or_default().to_owned()
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(***)")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
            ("x-api-key", "Bearer secret"),
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

    #[test]
    fn every_header_and_cookie_that_may_tell_who_calls_is_a_secret() {
        let headers: HeaderMap = [
            ("authorization", "Bearer one"),
            ("x-api-key", "two"),
            ("cookie", "a=three; b=\"four\";five"),
            ("proxy-authorization", "Basic six=="),
            ("x-session-token", "seven"),
            ("x-author", "nobody"),
            ("idempotency-key", "nobody"),
            ("accept", "nobody"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        let mut found: Vec<_> = secrets(&headers).map(|secret| std::str::from_utf8(secret).unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, ["\"four\"", "five", "one", "seven", "six==", "three", "two"]);
    }
}
