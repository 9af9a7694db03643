//! The head of a stored answer: which headers are stored, and whether they allow it.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, StatusCode};
use plugin_api::is_of_connection;

/// The head of a stored answer. Its headers are copies, so that no connection's buffer is kept alive.
#[derive(Debug)]
pub(crate) struct StoredHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The upstream's id of the answer.
    pub(crate) request_id: Option<HeaderValue>,
}

/// The headers that may hold the upstream's id; the first present one counts.
const REQUEST_IDS: [HeaderName; 2] = [HeaderName::from_static("request-id"), HeaderName::from_static("x-request-id")];

/// Headers of one exchange or its time, by their first letter. They are not stored, and neither are those of its connection.
const fn of_the_moment(first: u8) -> (&'static [&'static str], &'static [&'static str]) {
    match first {
        b'a' => (&["age", "alt-svc"], &["anthropic-fast-", "anthropic-priority-", "anthropic-ratelimit-"]),
        b'c' => (&["cache-control", "cf-cache-status", "cf-ray"], &[]),
        b'd' => (&["date"], &[]),
        b'e' => (&["expires"], &[]),
        b'n' => (&["nel"], &[]),
        b'o' => (&["openai-processing-ms"], &[]),
        b'r' => (&["report-to", "request-id"], &["ratelimit", "retry-after"]),
        b's' => (&["server-timing", "set-cookie", "strict-transport-security"], &[]),
        b'x' => (&["x-cache", "x-request-id"], &["x-envoy-", "x-ratelimit-", "x-should-retry"]),
        _ => (&[], &[]),
    }
}

impl StoredHead {
    /// Copies the part of a head that is stored.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let mut kept = Vec::with_capacity(headers.len());
        kept.extend(headers.iter().filter(|(name, _)| !is_of_the_moment(status, name.as_str())));
        let request_id = REQUEST_IDS.iter().find_map(|name| headers.get(name));
        // one copy for all values
        let values = || kept.iter().map(|(_, value)| *value).chain(request_id);
        let mut copy = Vec::with_capacity(values().map(HeaderValue::len).sum());
        values().for_each(|value| copy.extend_from_slice(value.as_bytes()));
        let mut copies = Bytes::from(copy);
        let mut copied = |value: &HeaderValue| HeaderValue::from_maybe_shared(copies.split_to(value.len())).ok();
        // a name has its own bytes, wherever it was read from
        let named = |(name, value): &(&HeaderName, &HeaderValue)| Some(((*name).clone(), copied(value)?));
        let mut headers = Vec::with_capacity(kept.len());
        headers.extend(kept.iter().filter_map(named));
        Self { status, headers, request_id: request_id.and_then(copied) }
    }

    /// Whether the body is compressed.
    pub(crate) fn is_encoded(&self) -> bool {
        self.headers.iter().any(|(name, coding)| name == CONTENT_ENCODING && coding != "identity")
    }

    /// Its approximate memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let each = size_of::<(HeaderName, HeaderValue)>() + 48;
        let headers = self.headers.iter().map(|(name, value)| each + name.as_str().len() + value.len());
        headers.sum::<usize>() + self.request_id.as_ref().map_or(0, HeaderValue::len) + 64
    }
}

fn is_of_the_moment(status: StatusCode, name: &str) -> bool {
    // an error that followers share tells their clients when to retry
    let advice = matches!(name, "retry-after" | "retry-after-ms" | "x-should-retry");
    if advice && !status.is_success() {
        return false;
    }
    let (names, families) = of_the_moment(name.as_bytes().first().copied().unwrap_or_default());
    names.contains(&name) || families.iter().any(|family| name.starts_with(family)) || is_of_connection(name)
}

/// Whether the upstream allows an answer to be stored.
///
/// `no-cache` and `private` do not forbid it: every event stream has the first, and the second is about caches that tenants share.
pub(crate) fn may_be_kept(headers: &HeaderMap) -> bool {
    !headers.get_all(CACHE_CONTROL).iter().flat_map(list).any(|directive| directive.eq_ignore_ascii_case(b"no-store"))
}

/// Whether an answer is the same for all requests that agree in these headers, by its `vary`.
pub(crate) fn is_same_for_all(headers: &HeaderMap, agree: impl Fn(&str) -> bool) -> bool {
    headers.get_all(VARY).iter().flat_map(list).all(|name| {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        name.is_empty() || agree(&name)
    })
}

fn list(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn kept(status: StatusCode, list: &[(&'static str, &'static str)]) -> Vec<String> {
        StoredHead::of(status, &headers(list)).headers.iter().map(|(name, _)| name.as_str().to_owned()).collect()
    }

    #[test]
    fn the_names_are_found_by_their_first_letter() {
        for first in u8::MIN..=u8::MAX {
            let (names, families) = of_the_moment(first);
            assert!(names.iter().chain(families).all(|name| name.as_bytes()[0] == first));
        }
    }

    #[test]
    fn what_belongs_to_the_moment_is_not_given_again() {
        let list = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("anthropic-organization-id", "o"),
            ("anthropic-ratelimit-requests-remaining", "1"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("date", "d"),
            ("set-cookie", "__cf_bm=x"),
            ("request-id", "req_1"),
            ("retry-after", "59"),
            ("content-length", "5"),
            ("access-control-allow-origin", "*"),
        ];
        let names = kept(StatusCode::OK, &list);
        let expected = ["content-type", "content-encoding", "anthropic-organization-id", "access-control-allow-origin"];
        assert_eq!(names, expected);
        assert_eq!(StoredHead::of(StatusCode::OK, &headers(&list)).request_id.unwrap(), "req_1");
        assert!(kept(StatusCode::TOO_MANY_REQUESTS, &list).contains(&"retry-after".to_owned()));
    }

    proptest! {
        /// Against a copy of each header by itself.
        #[test]
        fn values_are_copied_as_they_are(
            list in prop::collection::vec((0_usize..8, "[ -~\u{e9}]{0,20}"), 0..20),
            status in prop::sample::select(vec![200_u16, 429]),
        ) {
            const NAMES: [&str; 8] =
                ["content-type", "x-own", "request-id", "x-request-id", "retry-after", "date", "vary", "x-other"];
            let status = StatusCode::from_u16(status).unwrap();
            let mut headers = HeaderMap::new();
            for (name, value) in list {
                headers.append(HeaderName::from_static(NAMES[name]), HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let head = StoredHead::of(status, &headers);
            let kept = headers.iter().filter(|(name, _)| !is_of_the_moment(status, name.as_str()));
            let kept: Vec<_> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(&head.headers, &kept);
            prop_assert_eq!(head.headers.capacity(), kept.len());
            let id = headers.get("request-id").or_else(|| headers.get("x-request-id"));
            prop_assert_eq!(head.request_id.as_ref(), id);
        }
    }

    #[test]
    fn the_upstream_may_forbid_to_keep_an_answer() {
        for (value, may) in [("no-cache, private", true), ("no-cache, No-Store", false)] {
            assert_eq!(may_be_kept(&headers(&[("cache-control", value)])), may, "{value}");
        }
        assert!(may_be_kept(&headers(&[])));
    }

    #[test]
    fn an_answer_may_differ_by_what_is_not_known_to_agree() {
        let known = |name: &str| name == "accept-encoding" || name == "origin";
        for (list, same) in [
            (&[][..], true),
            (&[("vary", "Accept-Encoding, origin")], true),
            (&[("vary", "accept-encoding,x-team")], false),
            (&[("vary", "*")], false),
        ] {
            assert_eq!(is_same_for_all(&headers(list), known), same, "{list:?}");
        }
    }
}
