//! The retry hints of an answer: `retry-after` and `x-should-retry`, as the SDKs of Anthropic and `OpenAI` read them.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use plugin_api::Period;

const SHOULD_RETRY: &str = "x-should-retry";
const RETRY_AFTER_MS: &str = "retry-after-ms";

/// The retry hints of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryHint {
    /// Whether the server wants another attempt; `None` if it does not say.
    pub should_retry: Option<bool>,
    /// How long to wait before it.
    pub retry_after: Option<Duration>,
}

impl RetryHint {
    /// The hints in these headers. A value that cannot be read counts as absent.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let should_retry = match text(SHOULD_RETRY) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let milliseconds = text(RETRY_AFTER_MS).and_then(|text| span(text, 1e-3));
        let retry_after = milliseconds.or_else(|| {
            let text = text(RETRY_AFTER.as_str())?;
            span(text, 1.0).or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok())
        });
        // a server may ask for more than any clock can count
        Self { should_retry, retry_after: retry_after.map(|span| span.min(Period::LONGEST)) }
    }
}

fn span(number: &str, seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(headers: &[(&'static str, &str)]) -> RetryHint {
        RetryHint::of(&headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
    }

    #[test]
    fn a_span_is_read_in_seconds_in_milliseconds_and_as_a_date() {
        for (headers, seconds) in [
            (&[("retry-after", "7")][..], Some(7.0)),
            (&[("retry-after", "1.5")], Some(1.5)),
            (&[("retry-after", "7"), ("retry-after-ms", "250")], Some(0.25)),
            (&[("retry-after", "1e19")], Some(Period::LONGEST.as_secs_f64())),
            (&[("retry-after-ms", "1e22")], Some(Period::LONGEST.as_secs_f64())),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], None),
            (&[], None),
        ] {
            assert_eq!(hint(headers).retry_after.map(|span| span.as_secs_f64()), seconds, "{headers:?}");
        }
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let seconds = hint(&[("retry-after", &date)]).retry_after.unwrap().as_secs();
        assert!((85..=90).contains(&seconds), "{seconds}");
    }

    #[test]
    fn whether_to_try_again_is_true_false_or_not_said() {
        for (value, should) in [("true", Some(true)), ("false", Some(false)), ("perhaps", None)] {
            assert_eq!(hint(&[("x-should-retry", value)]).should_retry, should);
        }
    }
}
