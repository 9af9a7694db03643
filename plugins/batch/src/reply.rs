//! What clients are told: answers of batches, to come back later, and why there is no answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use plugin_api::{Body, ErrorKind, Flow, Outcome, Protocol, Refusal, RefusalKind, Reply, SentTo, Uuid};
use serde_json::{Value, json};

use crate::entry::Failure;

/// The parameter by which an answer is fetched.
pub(crate) const PARAMETER: &str = "tollgate-batch";

/// The headers of a stream of events.
pub(crate) fn event_stream() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers
}

/// The headers of JSON.
pub(crate) fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// An answer whose usage is in the ledger already, or on its way there.
pub(crate) fn again(status: StatusCode, headers: HeaderMap, body: impl Into<Body>) -> Reply {
    let mut reply = Reply::json(status, Bytes::new());
    (reply.headers, reply.body, reply.outcome) = (headers, body.into(), Outcome::Cached);
    reply
}

/// 202: where to come back, and when.
pub(crate) fn later(path: &str, id: Uuid, retry_after: Duration) -> Reply {
    let location = format!("{path}?{PARAMETER}={id}");
    let body = json!({ "type": "tollgate_batch", "id": id, "status": "in_progress", "location": location });
    let mut reply = again(StatusCode::ACCEPTED, json_headers(), Bytes::from(body.to_string()));
    if let Ok(location) = HeaderValue::from_str(&location) {
        reply.headers.insert(LOCATION, location);
    }
    reply.with_retry_after(retry_after.as_secs().max(1))
}

/// Why there is no answer.
pub(crate) fn failed(protocol: &'static Protocol, why: Failure, words: &[u8], upstream: &Arc<str>, id: Uuid) -> Flow {
    let refusal = |kind, message: &'static str| Refusal::new(kind, why.as_str(), message).into();
    match why {
        Failure::Unsuitable => refusal(RefusalKind::InvalidRequest, "This call cannot be answered by a batch here"),
        Failure::NotStored => refusal(RefusalKind::Unavailable, "The gateway can keep no more calls for batches now"),
        _ => no_answer(protocol, why, words, upstream, id).into(),
    }
}

/// The error of a call that came to a batch, or waited for one.
pub(crate) fn no_answer(
    protocol: &'static Protocol,
    why: Failure,
    words: &[u8],
    upstream: &Arc<str>,
    id: Uuid,
) -> Reply {
    let (kind, message, word) = match why {
        Failure::Late => (
            ErrorKind::GatewayTimeout,
            "No batch has answered the call within its x-tollgate-batch; the same request sent again goes on waiting"
                .to_owned(),
            "batch_late",
        ),
        Failure::Expired => (
            ErrorKind::GatewayTimeout,
            "The provider did not answer the call before its batch expired".to_owned(),
            "batch_expired",
        ),
        Failure::Canceled => {
            (ErrorKind::BadGateway, "The batch of the call was cancelled".to_owned(), "batch_canceled")
        }
        Failure::Errored => (ErrorKind::BadGateway, told(words), "batch_errored"),
        Failure::Rejected | Failure::Missing | Failure::Unsuitable | Failure::NotStored => {
            (ErrorKind::BadGateway, "The provider did not answer the call in its batch".to_owned(), "batch_failed")
        }
    };
    let mut reply = Reply::error(protocol, kind, &message, id);
    reply.outcome = Outcome::UpstreamFailed;
    reply.sent = Some(Box::new(SentTo { error: Some(word), ..SentTo::nowhere(upstream.clone()) }));
    reply
}

/// The provider's words for an error in a batch.
fn told(error: &[u8]) -> String {
    let json: Value = serde_json::from_slice(error).unwrap_or_default();
    let message = json.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason is given");
    format!("The provider failed at the call in its batch: {message}")
}
