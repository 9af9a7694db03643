//! What of a request's head the gateway cares about, found in one pass: every look-up in a header map costs a hash.

use http::HeaderMap;

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
