//! A request that a plugin refuses: of which kind, and why. The gateway makes the error object of the caller's dialect of it.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use uuid::Uuid;

use crate::{ErrorKind, Protocol, Reply};

/// Why a plugin refuses a request.
///
/// The kind decides the status, the words of the error object, and whether clients try again. The plugin's name and the
/// reason reach the record, `tollgate_refusals_total` and the access log; the message reaches the caller alone.
///
/// ```
/// # use std::time::Duration;
/// # use plugin_api::{Refusal, RefusalKind};
/// let refusal = Refusal::new(RefusalKind::TooManyRequests, "too_fast", "No more than 10 calls a second")
///     .retry_after(Duration::from_millis(1200));
/// assert_eq!(refusal.status(), 429);
/// ```
#[derive(Debug)]
pub struct Refusal {
    kind: RefusalKind,
    reason: &'static str,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    is_final: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
}

impl Refusal {
    /// A refusal. The reason is one word of a fixed set (`snake_case`), since it becomes a label of a metric.
    #[must_use]
    pub fn new(kind: RefusalKind, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self {
            kind,
            reason,
            message,
            retry_after: None,
            is_final: !kind.retry_can_help(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// The same, saying when another attempt is worth it: as `retry-after`, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// The same, telling the SDKs not to try again on their own, whatever the kind: of a limit that is used up for the month,
    /// for one.
    #[must_use]
    pub fn not_to_be_retried(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// The same, with one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same, with this JSON text in the place of the dialect's error object: for operators who need one form for all.
    #[must_use]
    pub fn with_body(mut self, json: impl Into<Bytes>) -> Self {
        self.body = Some(json.into());
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The word for why.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// What the caller is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The status of its answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.error().status()
    }

    /// When a limit that is used up is whole again, in seconds since 1970.
    fn resets_at(&self) -> Option<u64> {
        let wait = self.retry_after.filter(|_| self.is_final && self.kind == RefusalKind::TooManyRequests)?;
        let at = SystemTime::now().checked_add(wait)?.duration_since(UNIX_EPOCH).ok()?;
        Some(at.as_secs())
    }

    /// The answer to a caller of this protocol.
    #[must_use]
    pub fn into_reply(self, protocol: &'static Protocol, id: Uuid) -> Reply {
        let error = self.kind.error();
        let mut reply = match self.body {
            Some(body) => Reply { error_type: Some(error.type_in(protocol)), ..Reply::json(error.status(), body) },
            None => Reply::error_until(protocol, error, &self.message, id, self.resets_at()),
        };
        if self.is_final {
            reply = reply.not_to_be_retried();
        }
        if let Some(time) = self.retry_after {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply.headers.extend(self.headers);
        reply
    }
}

/// The kinds of refusal, each with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// 400: the request itself is wrong.
    InvalidRequest,
    /// 401: the caller does not say who it is, or not credibly.
    Unauthenticated,
    /// 402: what the caller may spend is spent.
    PaymentRequired,
    /// 403: the caller is known, and may not.
    Forbidden,
    /// 413: the request is too large.
    TooLarge,
    /// 429: too much at a time.
    TooManyRequests,
    /// 503: it cannot be decided or served now.
    Unavailable,
}

impl RefusalKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::PaymentRequired,
        Self::Forbidden,
        Self::TooLarge,
        Self::TooManyRequests,
        Self::Unavailable,
    ];

    fn error(self) -> ErrorKind {
        match self {
            Self::InvalidRequest => ErrorKind::InvalidRequest,
            Self::Unauthenticated => ErrorKind::Unauthenticated,
            Self::PaymentRequired => ErrorKind::PaymentRequired,
            Self::Forbidden => ErrorKind::Forbidden,
            Self::TooLarge => ErrorKind::TooLarge,
            Self::TooManyRequests => ErrorKind::TooManyRequests,
            Self::Unavailable => ErrorKind::NoServer,
        }
    }

    fn retry_can_help(self) -> bool {
        matches!(self, Self::TooManyRequests | Self::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(refusal: Refusal, protocol: &'static Protocol) -> (Reply, Value) {
        let reply = refusal.into_reply(protocol, Uuid::nil());
        let body = serde_json::from_slice(reply.body.whole().unwrap()).unwrap();
        (reply, body)
    }

    #[test]
    fn every_kind_has_its_status_and_words_in_both_protocols() {
        for (kind, status, anthropic, openai, code, is_final) in [
            (RefusalKind::InvalidRequest, 400, "invalid_request_error", "invalid_request_error", json!(null), true),
            (
                RefusalKind::Unauthenticated,
                401,
                "authentication_error",
                "invalid_request_error",
                json!("invalid_api_key"),
                true,
            ),
            (
                RefusalKind::PaymentRequired,
                402,
                "billing_error",
                "insufficient_quota",
                json!("insufficient_quota"),
                true,
            ),
            (
                RefusalKind::Forbidden,
                403,
                "permission_error",
                "invalid_request_error",
                json!("permission_denied"),
                true,
            ),
            (
                RefusalKind::TooLarge,
                413,
                "request_too_large",
                "invalid_request_error",
                json!("request_too_large"),
                true,
            ),
            (RefusalKind::TooManyRequests, 429, "rate_limit_error", "requests", json!("rate_limit_exceeded"), false),
            (RefusalKind::Unavailable, 503, "api_error", "server_error", json!("service_unavailable"), false),
        ] {
            let refusal = || Refusal::new(kind, "no", "No more \"today\"");
            let (reply, body) = answer(refusal(), Protocol::ANTHROPIC);
            assert_eq!((reply.status.as_u16(), reply.error_type), (status, Some(anthropic)), "{kind:?}");
            assert_eq!(body["error"], json!({ "type": anthropic, "message": "No more \"today\"" }), "{kind:?}");
            let (reply, body) = answer(refusal(), Protocol::OPENAI);
            assert_eq!((reply.status.as_u16(), reply.error_type), (status, Some(openai)), "{kind:?}");
            assert_eq!((&body["error"]["type"], &body["error"]["code"]), (&json!(openai), &code), "{kind:?}");
            assert_eq!(reply.headers.contains_key("x-should-retry"), is_final, "{kind:?}");
        }
        assert_eq!(RefusalKind::ALL.len(), 7);
    }

    #[test]
    fn another_attempt_is_named_in_whole_seconds_rounded_up() {
        for (time, seconds) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            let refusal = Refusal::new(RefusalKind::TooManyRequests, "no", "Slower");
            let (reply, _) = answer(refusal.retry_after(Duration::from_millis(time)), Protocol::ANTHROPIC);
            assert_eq!(reply.headers[RETRY_AFTER], seconds, "{time} ms");
            assert!(!reply.headers.contains_key("x-should-retry"));
        }
        let used_up = Refusal::new(RefusalKind::TooManyRequests, "month", "Used up").not_to_be_retried();
        assert_eq!(answer(used_up, Protocol::OPENAI).0.headers["x-should-retry"], "false");
    }

    #[test]
    fn a_limit_that_is_used_up_tells_clients_who_know_that_when_it_is_whole() {
        let used_up = || {
            let refusal = Refusal::new(RefusalKind::TooManyRequests, "month", "Used up");
            refusal.retry_after(Duration::from_secs(100_000)).not_to_be_retried()
        };
        let (reply, body) = answer(used_up(), Protocol::OPENAI);
        assert_eq!(
            (&body["error"]["type"], reply.error_type),
            (&json!("usage_limit_reached"), Some("usage_limit_reached"))
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((99_000..=100_000).contains(&(body["error"]["resets_at"].as_u64().unwrap() - now)));
        let (_, body) = answer(used_up(), Protocol::ANTHROPIC);
        assert_eq!(body["error"], json!({ "type": "rate_limit_error", "message": "Used up" }));
        let throttled =
            Refusal::new(RefusalKind::TooManyRequests, "fast", "Slower").retry_after(Duration::from_secs(5));
        assert_eq!(answer(throttled, Protocol::OPENAI).1["error"]["resets_at"], json!(null));
    }

    #[test]
    fn a_body_of_its_own_takes_the_place_of_the_error_object_and_headers_are_added() {
        let name = HeaderName::from_static("www-authenticate");
        let refusal = Refusal::new(RefusalKind::Unauthenticated, "no", "x").with_body("{}");
        let (reply, body) =
            answer(refusal.header(name.clone(), HeaderValue::from_static("Bearer")), Protocol::ANTHROPIC);
        assert_eq!((body, reply.error_type), (json!({}), Some("authentication_error")));
        assert_eq!(
            (&reply.headers[name], &reply.headers["content-type"]),
            (&"Bearer".parse().unwrap(), &"application/json".parse().unwrap())
        );
    }
}
