//! An answer made here instead of upstream, and the error objects of every protocol.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use protocols::ApiError;
use uuid::Uuid;

use crate::{Answer, Body, Outcome, Protocol, SendError, SentTo};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer made here. The gateway adds `content-length`, where the length is known, and `x-request-id`.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// What the exchange's record will call it: [`Outcome::Refused`], or [`Outcome::Cached`] from a cache.
    pub outcome: Outcome,
    /// Where the answer comes from, if a plugin got it from an upstream by a request of its own: the record says of it what it says of a
    /// request that the gateway sent. With [`Outcome::Completed`] the answer is read as the upstream's, and its usage is that of the call.
    pub sent: Option<Box<SentTo>>,
    /// What the answer says of itself, where it is one that is given again. That of a body that is still to come is read
    /// as it passes, or [told at its end](crate::BodyStream::with_saved).
    pub saved: Option<Box<Answer>>,
    /// The type that its error object gives, for the exchange's record; where it is not said of a refusal, that of
    /// [`Protocol::error_type`].
    pub error_type: Option<&'static str>,
}

impl Reply {
    /// A JSON answer that refuses the request, with this very body.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            status,
            headers,
            body: Body::Whole(body.into()),
            outcome: Outcome::Refused,
            sent: None,
            saved: None,
            error_type: None,
        }
    }

    /// An answer of an upstream that a plugin got by a request of its own, or a part of one.
    #[must_use]
    pub fn from_upstream(status: StatusCode, headers: HeaderMap, body: impl Into<Body>, sent: Box<SentTo>) -> Self {
        let (body, outcome) = (body.into(), Outcome::Completed);
        Self { status, headers, body, outcome, sent: Some(sent), saved: None, error_type: None }
    }

    /// The error of a call for which a plugin's own request failed, as the gateway answers a call that it sends itself. `upstream` names the
    /// one that was asked.
    #[must_use]
    pub fn send_failed(protocol: &'static Protocol, error: &SendError, upstream: &Arc<str>, id: Uuid) -> Self {
        let mut reply = Self::error(protocol, error.kind(), error.message(), id);
        reply.outcome = Outcome::UpstreamFailed;
        let sent = match error {
            SendError::Failed(failure) => {
                reply.status = failure.status;
                reply.headers.extend(failure.retry_after.clone().map(|value| (RETRY_AFTER, value)));
                failure.sent.clone()
            }
            other => Box::new(SentTo { error: Some(other.word()), ..SentTo::nowhere(upstream.clone()) }),
        };
        reply.sent = Some(sent);
        reply
    }

    /// Whether it is the answer of an upstream, which a plugin got there for this call.
    #[must_use]
    pub fn is_of_upstream(&self) -> bool {
        self.sent.is_some() && self.outcome == Outcome::Completed
    }

    /// An error as the caller's SDK expects it.
    ///
    /// The object is the protocol's own. Where trying again cannot help,
    /// `x-should-retry: false` tells the SDKs of both.
    #[must_use]
    pub fn error(protocol: &'static Protocol, kind: ErrorKind, message: &str, id: Uuid) -> Self {
        Self::error_until(protocol, kind, message, id, None)
    }

    /// The same; of a limit that is used up, with the time at which it is whole again, in seconds since 1970, where clients of the
    /// protocol know such an error.
    #[must_use]
    pub(crate) fn error_until(
        protocol: &'static Protocol,
        kind: ErrorKind,
        message: &str,
        id: Uuid,
        resets_at: Option<u64>,
    ) -> Self {
        let id = id.to_string();
        let used_up = resets_at.and(protocol.errors.used_up);
        let error_type = used_up.unwrap_or_else(|| kind.type_in(protocol));
        let resets_at = resets_at.filter(|_| used_up.is_some());
        let error = ApiError { kind: error_type, code: kind.code(), message, request_id: &id, resets_at };
        let body = (protocol.errors.object)(&error);
        let mut reply = Self { error_type: Some(error_type), ..Self::json(kind.status(), body.to_string()) };
        if let Ok(id) = HeaderValue::try_from(id) {
            if let Some(header) = protocol.errors.request_id_header {
                reply.headers.insert(HeaderName::from_static(header), id.clone());
            }
            reply.headers.insert(REQUEST_ID, id);
        }
        if !kind.retry_can_help() {
            reply = reply.not_to_be_retried();
        }
        reply
    }

    /// The same, saying in how many seconds another attempt is worth it.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// The same, saying that the client must not try again.
    #[must_use]
    pub fn not_to_be_retried(mut self) -> Self {
        self.headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        self
    }
}

/// The kinds of error that the gateway itself answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the request itself is wrong.
    InvalidRequest,
    /// 401: the caller does not say who it is, or not credibly.
    Unauthenticated,
    /// 402: what the caller may spend is spent.
    PaymentRequired,
    /// 403: the caller may not.
    Forbidden,
    /// 404: no route leads anywhere.
    NotFound,
    /// 405: the method is not taken.
    MethodNotAllowed,
    /// 408: the client did not send its request in time.
    RequestTimeout,
    /// 413: the body is larger than allowed.
    TooLarge,
    /// 426: a WebSocket is asked for where there are none.
    UpgradeRequired,
    /// 429: more requests than there are servers for.
    TooManyRequests,
    /// 431: the head is larger than allowed.
    HeadTooLarge,
    /// 500: a fault of the gateway or of one of its plugins.
    Internal,
    /// 502: the upstream could not be reached or broke its answer.
    BadGateway,
    /// 503: no server can take the request.
    NoServer,
    /// 503: the gateway holds as much as it may.
    Overloaded,
    /// 504: the upstream did not answer in time.
    GatewayTimeout,
}

impl ErrorKind {
    /// Its status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::NoServer | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The type that an error object of a protocol gives.
    pub(crate) fn type_in(self, protocol: &'static Protocol) -> &'static str {
        protocol.error_type_of(self.code(), self.status())
    }

    /// The gateway's word for it.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest | Self::Internal => None,
            Self::Unauthenticated => Some("invalid_api_key"),
            Self::PaymentRequired => Some("insufficient_quota"),
            Self::Forbidden => Some("permission_denied"),
            Self::NotFound => Some("not_found"),
            Self::MethodNotAllowed => Some("method_not_allowed"),
            Self::RequestTimeout => Some("request_timeout"),
            Self::TooLarge => Some("request_too_large"),
            Self::HeadTooLarge => Some("request_header_fields_too_large"),
            Self::UpgradeRequired => Some("websocket_off"),
            Self::TooManyRequests => Some("rate_limit_exceeded"),
            Self::BadGateway => Some("bad_gateway"),
            Self::NoServer => Some("service_unavailable"),
            Self::Overloaded => Some("overloaded"),
            Self::GatewayTimeout => Some("gateway_timeout"),
        }
    }

    fn retry_can_help(self) -> bool {
        match self {
            Self::InvalidRequest
            | Self::Unauthenticated
            | Self::PaymentRequired
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::TooLarge
            | Self::HeadTooLarge
            | Self::UpgradeRequired
            | Self::Internal => false,
            Self::RequestTimeout
            | Self::TooManyRequests
            | Self::BadGateway
            | Self::NoServer
            | Self::Overloaded
            | Self::GatewayTimeout => true,
        }
    }
}
