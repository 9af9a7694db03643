//! Whether the head of a request can be admitted: its framing, which two parsers could understand in two ways, and its size.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Uri, Version};

use crate::memory::FREE_HEAD;

use super::authority;
use super::header_flags::HeaderFlags;
use super::request_line::AsSent;

/// The memory of a stream of an HTTP/2 connection, in bytes.
const STREAM: usize = 64 << 10;
/// The memory of a field besides its bytes, here and in the head that goes upstream.
const FIELD: usize = 256;
/// The bytes that HTTP/2 counts for each field besides its own (RFC 9113 §6.5.2).
const H2_FIELD: usize = 32;

/// How large a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSize {
    /// Its bytes on HTTP/1.1; on HTTP/2, those of its fields, and 32 for each.
    pub bytes: usize,
    fields: usize,
    is_h2: bool,
}

impl HeadSize {
    /// That of an HTTP/1.1 request with so many bytes and fields.
    #[must_use]
    pub fn of_h1(bytes: usize, fields: usize) -> Self {
        Self { bytes, fields, is_h2: false }
    }

    /// That of an HTTP/2 request.
    #[must_use]
    pub fn of_h2(uri: &Uri, headers: &HeaderMap) -> Self {
        let named = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + H2_FIELD);
        let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
        let pseudo = target + uri.authority().map_or(0, |authority| authority.as_str().len()) + 4 * H2_FIELD;
        Self { bytes: named.sum::<usize>() + pseudo, fields: headers.len(), is_h2: true }
    }

    /// Its memory beyond that of any connection. A buffer has up to twice the bytes in it.
    #[must_use]
    pub fn charged(self) -> usize {
        let stream = if self.is_h2 { STREAM } else { 0 };
        stream + (2 * self.bytes + FIELD * self.fields).saturating_sub(2 * FREE_HEAD)
    }
}

/// Refuses a request that names no host, or two: in `Host`, or there and in a target in absolute form, which a proxy has to believe (RFC 9112
/// §3.2.2).
///
/// # Errors
/// The fault, as a message for the client.
pub fn check_host(
    version: Version,
    headers: &HeaderMap,
    flags: HeaderFlags,
    as_sent: Option<&AsSent>,
) -> Result<(), &'static str> {
    match flags.hosts {
        // HTTP/2 has `:authority`
        0 if version == Version::HTTP_11 => return Err("The Host header is missing"),
        0 => return Ok(()),
        1 => {}
        _ => return Err("There is more than one Host header"),
    }
    let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    if !authority::is_valid(host) {
        return Err("The Host header is no host");
    }
    match as_sent.and_then(|as_sent| as_sent.authority.as_ref()) {
        Some((target, port)) if !authority::is_same(host, target, *port) => {
            Err("The Host header and the request target name different hosts")
        }
        _ => Ok(()),
    }
}

/// Refuses an HTTP/2 request whose `:authority` is no host (RFC 9113 §8.3.1). Pingora has refused a `Host` that differs
/// from it, which a test of `conformance` holds.
///
/// # Errors
/// The fault, as a message for the client.
pub fn check_authority(uri: &Uri) -> Result<(), &'static str> {
    match uri.authority() {
        Some(authority) if !authority::is_valid(authority.as_str().as_bytes()) => Err("The :authority is no host"),
        _ => Ok(()),
    }
}

/// Refuses an HTTP/2 request with a value that begins or ends with a space, which the h2 crate lets through (RFC 9113 §8.2.1).
///
/// # Errors
/// The fault, as a message for the client.
pub fn check_values(headers: &HeaderMap) -> Result<(), &'static str> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if headers.values().any(|value| is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())) {
        return Err("A header begins or ends with a space");
    }
    Ok(())
}

/// Refuses a head that two parsers could read in two ways (RFC 9112 §6.3). `raw` is the head as it came: by now Pingora has
/// dropped a content-length that stood beside a transfer-encoding.
///
/// # Errors
/// The fault, as a message for the client.
pub fn check_framing(
    version: Version,
    headers: &HeaderMap,
    flags: HeaderFlags,
    raw: impl FnOnce() -> Bytes,
) -> Result<(), &'static str> {
    if version == Version::HTTP_2 {
        return Ok(());
    }
    let is_number = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    if flags.content_lengths > 1 || headers.get(CONTENT_LENGTH).is_some_and(|length| !is_number(length)) {
        return Err("The Content-Length is not one number");
    }
    if flags.transfer_encoding {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !chunked || codings.next().is_some() {
            return Err("The Transfer-Encoding is not chunked alone");
        }
        if has_content_length(&raw()) {
            return Err("Content-Length and Transfer-Encoding exclude each other");
        }
    }
    Ok(())
}

/// Refuses a WebSocket's handshake with a body (RFC 6455 §4.1 has none): it would go upstream unread, and a server could take its bytes
/// for frames.
///
/// # Errors
/// The fault, as a message for the client.
pub fn check_handshake(headers: &HeaderMap, flags: HeaderFlags) -> Result<(), &'static str> {
    let is_empty = |length: &HeaderValue| length.as_bytes().iter().all(|digit| *digit == b'0');
    if flags.transfer_encoding || !headers.get_all(CONTENT_LENGTH).iter().all(is_empty) {
        return Err("The handshake of a WebSocket has no body");
    }
    Ok(())
}

fn has_content_length(raw: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(CONTENT_LENGTH.as_str().as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(version: Version, raw: &'static str) -> Result<(), &'static str> {
        let fields = raw.lines().filter_map(|line| line.split_once(':'));
        let headers: HeaderMap = fields
            .map(|(name, value)| (name.trim().parse().unwrap(), HeaderValue::from_str(value.trim()).unwrap()))
            .fold(HeaderMap::new(), |mut headers, (name, value): (http::HeaderName, _)| {
                headers.append(name, value);
                headers
            });
        let flags = HeaderFlags::of(&headers);
        check_host(version, &headers, flags, None)?;
        check_framing(version, &headers, flags, || Bytes::from_static(raw.as_bytes()))
    }

    #[test]
    fn a_request_names_one_host() {
        let host = |host: &'static str, target: Option<(&str, u16)>| {
            let headers: HeaderMap = [(HOST, HeaderValue::from_static(host))].into_iter().collect();
            let authority = target.map(|(target, port)| (Box::from(target.as_bytes()), port));
            let as_sent = AsSent { authority, ..AsSent::default() };
            check_host(Version::HTTP_11, &headers, HeaderFlags::of(&headers), Some(&as_sent))
        };
        for (named, target, refused) in [
            ("a.example", None, false),
            ("", None, true),
            ("a b", None, true),
            ("a.example", Some(("A.Example:80", 80)), false),
            ("a.example:443", Some(("a.example", 443)), false),
            ("a.example", Some(("b.example", 80)), true),
            ("a.example", Some(("a.example:443", 80)), true),
        ] {
            assert_eq!(host(named, target).is_err(), refused, "{named:?} {target:?}");
        }
    }

    #[test]
    fn an_authority_of_http_2_is_a_host() {
        for (uri, refused) in [
            ("https://a.example/", false),
            ("http://a.example:80/", false),
            ("/", false),
            ("https://a..example/", true),
            ("https://user@a.example/", true),
        ] {
            assert_eq!(check_authority(&Uri::from_static(uri)).is_err(), refused, "{uri}");
        }
    }

    #[test]
    fn what_two_parsers_could_understand_in_two_ways_is_refused() {
        for (raw, refused) in [
            ("host: a", false),
            ("host: a\ncontent-length: 10", false),
            ("host: a\ntransfer-encoding: Chunked", false),
            ("", true),
            ("host: a\nhost: a", true),
            ("host: a\ncontent-length: 1\ncontent-length: 1", true),
            ("host: a\ncontent-length: +1", true),
            ("host: a\ncontent-length: 1, 1", true),
            ("host: a\ntransfer-encoding: gzip, chunked", true),
            ("host: a\ntransfer-encoding: chunked\ntransfer-encoding: chunked", true),
            ("host: a\ntransfer-encoding: chunked\nContent-Length : 5", true),
        ] {
            assert_eq!(framing(Version::HTTP_11, raw).is_err(), refused, "{raw:?}");
        }
        assert!(framing(Version::HTTP_10, "").is_ok(), "HTTP/1.0 knows no Host");
        assert!(framing(Version::HTTP_2, "").is_ok(), "HTTP/2 is framed otherwise");
    }

    #[test]
    fn a_value_has_no_space_around_it() {
        let value = |value: &'static str| [(HOST, HeaderValue::from_static(value))].into_iter().collect::<HeaderMap>();
        for (text, refused) in [("a", false), ("", false), ("a b", false), (" a", true), ("a\t", true)] {
            assert_eq!(check_values(&value(text)).is_err(), refused, "{text:?}");
        }
    }

    #[test]
    fn a_handshake_with_a_body_is_refused() {
        for (length, coding, refused) in [
            (None, None, false),
            (Some("0"), None, false),
            (Some("00"), None, false),
            (Some("1"), None, true),
            (None, Some("chunked"), true),
            (Some("0"), Some("identity"), true),
        ] {
            let value = |text| HeaderValue::from_static(text);
            let fields = [(CONTENT_LENGTH, length.map(value)), (TRANSFER_ENCODING, coding.map(value))];
            let headers: HeaderMap = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            assert_eq!(check_handshake(&headers, HeaderFlags::of(&headers)).is_err(), refused, "{headers:?}");
        }
    }

    #[test]
    fn a_head_is_charged_beyond_what_a_connection_takes_anyway() {
        assert_eq!(HeadSize::of_h1(FREE_HEAD / 2, 1).charged(), 0);
        assert!(HeadSize::of_h1(FREE_HEAD * 4, 1).charged() > 4 * FREE_HEAD);
        let h2 = HeadSize::of_h2(&Uri::from_static("/x"), &HeaderMap::new());
        assert_eq!((h2.bytes, h2.charged()), (2 + 4 * H2_FIELD, STREAM));
    }
}
