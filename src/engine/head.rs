//! What of a request's head the gateway cares about, found in one pass: every look-up in a header map costs a hash.

use http::{HeaderMap, Version};
use pingora_proxy::Session;

use crate::memory::FREE_HEAD;

/// What a stream of an HTTP/2 connection takes, where an HTTP/1.1 connection has one request at a time.
const STREAM: usize = 64 << 10;
/// What a field takes besides its bytes: here, and once more in the head that goes upstream.
const FIELD: usize = 256;
/// What HTTP/2 counts for each field besides its bytes (RFC 9113 §6.5.2).
const H2_FIELD: usize = 32;

/// How large a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSize {
    /// Its bytes on HTTP/1.1; on HTTP/2, those of its fields, and 32 for each.
    pub bytes: usize,
    fields: usize,
    is_h2: bool,
}

/// How large the head of this request is.
#[must_use]
pub fn size(session: &Session) -> HeadSize {
    let head = session.req_header();
    let fields = head.headers.len();
    if head.version != Version::HTTP_2 {
        return HeadSize { bytes: session.downstream_session.to_h1_raw().len(), fields, is_h2: false };
    }
    let named = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + H2_FIELD);
    let uri = &head.uri;
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let pseudo = target + uri.authority().map_or(0, |authority| authority.as_str().len()) + 4 * H2_FIELD;
    HeadSize { bytes: named.sum::<usize>() + pseudo, fields, is_h2: true }
}

impl HeadSize {
    /// What it takes in memory beyond what a connection takes anyway: a buffer has up to twice the bytes in it.
    #[must_use]
    pub fn charged(self) -> usize {
        let stream = if self.is_h2 { STREAM } else { 0 };
        stream + (2 * self.bytes + FIELD * self.fields).saturating_sub(2 * FREE_HEAD)
    }
}

/// Which headers are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// How often `host`.
    pub hosts: usize,
    /// How often `content-length`.
    pub content_lengths: usize,
    /// `transfer-encoding`.
    pub transfer_encoding: bool,
    /// `content-encoding`.
    pub content_encoding: bool,
    /// `expect`.
    pub expect: bool,
    /// `x-forwarded-for`.
    pub forwarded_for: bool,
    /// `x-forwarded-proto`.
    pub forwarded_proto: bool,
    /// `x-forwarded-host`.
    pub forwarded_host: bool,
    /// `x-request-id`.
    pub request_id: bool,
    /// `anthropic-version`.
    pub anthropic_version: bool,
}

impl Present {
    /// Looks through the headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        // a header that stands twice comes twice
        for (name, _) in headers {
            match name.as_str() {
                "host" => present.hosts += 1,
                "content-length" => present.content_lengths += 1,
                "transfer-encoding" => present.transfer_encoding = true,
                "content-encoding" => present.content_encoding = true,
                "expect" => present.expect = true,
                "x-forwarded-for" => present.forwarded_for = true,
                "x-forwarded-proto" => present.forwarded_proto = true,
                "x-forwarded-host" => present.forwarded_host = true,
                "x-request-id" => present.request_id = true,
                "anthropic-version" => present.anthropic_version = true,
                _ => {}
            }
        }
        present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_counted_as_often_as_they_stand() {
        let mut headers = HeaderMap::new();
        headers.append("host", http::HeaderValue::from_static("a"));
        headers.append("host", http::HeaderValue::from_static("b"));
        headers.append("expect", http::HeaderValue::from_static("100-continue"));
        let wanted = Present { hosts: 2, expect: true, ..Present::default() };
        assert_eq!(Present::of(&headers), wanted);
    }
}
