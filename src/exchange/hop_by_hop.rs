//! The headers of a message that belong to one connection and are not passed on (RFC 9110 §7.6.1), and the announcement of trailers, where none
//! are passed.

use http::header::{CONNECTION, TRAILER};
use http::{HeaderMap, HeaderName};
use plugin_api::is_hop_by_hop;

/// The names of these headers. The framing headers are not among them, since they are made anew on each side.
#[must_use]
pub fn names(headers: &HeaderMap, trailers_pass: bool) -> Vec<HeaderName> {
    // one pass over the names is cheaper than a look-up for each, and mostly there are none
    let is_hop = |name: &&HeaderName| is_hop_by_hop(name.as_str()) || !trailers_pass && *name == TRAILER;
    let mut names: Vec<HeaderName> = headers.keys().filter(is_hop).cloned().collect();
    if names.is_empty() {
        return names;
    }
    let nominated = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let nominated = nominated.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    names.extend(nominated.filter(|name| !matches!(name.as_str(), "content-length" | "transfer-encoding")));
    names
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, HeaderValue::from_static(value));
        }
        names(&all, false).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_connection_names_goes_with_it_but_never_the_framing() {
        assert_eq!(
            of(&[
                ("connection", "X-Trace, close"),
                ("connection", "content-length,transfer-encoding"),
                ("x-trace", "1")
            ]),
            ["connection", "x-trace", "close"]
        );
        assert_eq!(of(&[("trailer", "x-checksum")]), ["trailer"]);
        assert_eq!(of(&[("keep-alive", "timeout=5"), ("content-length", "3")]), ["keep-alive"]);
    }

    #[test]
    fn most_messages_have_none() {
        assert!(of(&[("content-length", "3"), ("x-trace", "1")]).is_empty());
    }
}
