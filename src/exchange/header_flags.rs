//! Which of the headers that matter a request has, found in one pass: every look-up in a header map costs a hash.

use http::HeaderMap;
use plugin_api::Protocol;

use super::forwarded::is_of_forwarding;
use super::header_names::is_plain;

/// Which headers are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFlags {
    /// How often `host`.
    pub hosts: usize,
    /// How often `content-length`.
    pub content_lengths: usize,
    /// How often `cookie`.
    pub cookies: usize,
    /// `transfer-encoding`.
    pub transfer_encoding: bool,
    /// `content-encoding`.
    pub content_encoding: bool,
    /// `expect`.
    pub expect: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// Any that says for whom a request is forwarded: see [`is_of_forwarding`].
    pub forwarding: bool,
    /// Any whose name has other characters than letters, digits and hyphens.
    pub odd_name: bool,
    /// `x-request-id`.
    pub request_id: bool,
    /// How often `traceparent`.
    pub traceparents: usize,
    /// The header that marks a protocol.
    pub protocol: Option<&'static Protocol>,
}

impl HeaderFlags {
    /// Looks through the headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut flags = Self::default();
        // a header that stands twice comes twice
        for (name, _) in headers {
            match name.as_str() {
                "host" => flags.hosts += 1,
                "content-length" => flags.content_lengths += 1,
                "cookie" => flags.cookies += 1,
                "transfer-encoding" => flags.transfer_encoding = true,
                "content-encoding" => flags.content_encoding = true,
                "expect" => flags.expect = true,
                "upgrade" => flags.upgrade = true,
                "x-request-id" => flags.request_id = true,
                "traceparent" => flags.traceparents += 1,
                name if is_of_forwarding(name) => {
                    flags.forwarding = true;
                    flags.odd_name |= !is_plain(name);
                }
                other => {
                    flags.odd_name |= !is_plain(other);
                    flags.protocol = flags.protocol.or_else(|| Protocol::marked_by(other));
                }
            }
        }
        flags
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
        let wanted = HeaderFlags { hosts: 2, expect: true, ..HeaderFlags::default() };
        assert_eq!(HeaderFlags::of(&headers), wanted);
    }
}
