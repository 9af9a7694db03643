//! The cache directives of a request (RFC 9111 §5.2.1).

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

/// The cache directives of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// `no-store` or `no-cache`: the call bypasses the cache.
    pub(crate) forbidden: bool,
    /// `max-age`: the greatest age of an answer that the client accepts, in seconds.
    pub(crate) max_age: Option<u64>,
}

impl Control {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        let named = headers.contains_key(CACHE_CONTROL);
        // RFC 9111 §5.4: `pragma` counts only without `cache-control`
        let source = if named { CACHE_CONTROL } else { PRAGMA };
        for value in headers.get_all(source) {
            for directive in value.as_bytes().split(|byte| *byte == b',') {
                control.take(&String::from_utf8_lossy(directive.trim_ascii()).to_ascii_lowercase());
            }
        }
        control
    }

    fn take(&mut self, directive: &str) {
        if matches!(directive, "no-store" | "no-cache") {
            self.forbidden = true;
        } else if let Some(seconds) = directive.strip_prefix("max-age=") {
            // an unreadable number counts as 0
            let seconds = seconds.trim_matches('"').parse().unwrap_or(0);
            self.max_age = Some(self.max_age.map_or(seconds, |before| before.min(seconds)));
        }
    }

    /// Whether the client accepts an answer of this age, in seconds.
    pub(crate) fn takes(self, age: u64) -> bool {
        self.max_age.is_none_or(|most| age <= most && most > 0)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn control(name: http::HeaderName, values: &[&'static str]) -> Control {
        Control::of(&values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect())
    }

    #[test]
    fn a_client_forbids_or_limits_the_age_in_any_spelling() {
        for value in ["no-store", "max-age=5, No-Cache", "NO-STORE"] {
            assert!(control(CACHE_CONTROL, &[value]).forbidden, "{value}");
        }
        assert!(control(CACHE_CONTROL, &["max-age=9", "no-cache"]).forbidden);
        assert!(control(PRAGMA, &["no-cache"]).forbidden);
        let limited = control(CACHE_CONTROL, &["max-age=60, x", "MAX-AGE=\"30\""]);
        assert_eq!(limited, Control { forbidden: false, max_age: Some(30) });
        assert!(limited.takes(30) && !limited.takes(31));
        assert!(!control(CACHE_CONTROL, &["max-age=0"]).takes(0), "a client that wants none of any age gets none");
        assert!(!control(CACHE_CONTROL, &["max-age=x"]).takes(0));
        assert!(control(CACHE_CONTROL, &["stale"]).takes(u64::MAX));
    }
}
