//! An answer: what it says of the request, and when the server wants to be asked again.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::HttpError;

/// The most that is read of a body.
const BODY: usize = 64 << 10;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// How long the server wants to be left alone: its `Retry-After`, in seconds or as a date.
    pub retry_after: Option<Duration>,
    /// The first 64 KiB of its body; what breaks off ends there.
    pub body: Bytes,
}

impl Answer {
    pub(crate) async fn read(answer: http::Response<Incoming>) -> Result<Self, HttpError> {
        let (head, mut rest) = answer.into_parts();
        let mut body = BytesMut::new();
        // the status has said what counts
        while let Some(Ok(frame)) = rest.frame().await {
            if let Some(data) = frame.data_ref() {
                body.extend_from_slice(&data[..data.len().min(BODY - body.len())]);
            }
            if body.len() == BODY {
                break;
            }
        }
        let retry_after = retry_after(&head.headers, SystemTime::now());
        Ok(Self { status: head.status, retry_after, body: body.freeze() })
    }
}

/// What a header says of when to come again. A date that is past says at once.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_in_seconds_or_by_a_date_when_to_come_again() {
        let now = httpdate::parse_http_date("Sun, 29 Nov 2026 12:00:00 GMT").unwrap();
        let after = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 29 Nov 2026 12:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("Sun, 29 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!((after("soon"), retry_after(&HeaderMap::new(), now)), (None, None));
    }
}
