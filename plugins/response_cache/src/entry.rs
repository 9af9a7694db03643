//! A stored answer, and what is needed to serve it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AGE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use plugin_api::{Answer, Body, Iteration, Outcome, Protocol, Reply, Uuid};

use crate::status::CacheStatus;
use crate::stored_head::StoredHead;

pub(crate) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const CACHED_REQUEST_ID: HeaderName = HeaderName::from_static("x-cached-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A stored answer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) head: Arc<StoredHead>,
    /// The body, in a buffer of its exact size.
    pub(crate) body: Bytes,
    /// The facts of the answer.
    pub(crate) answer: Option<Box<Answer>>,
    /// When it was complete, by the monotonic clock; for one from Redis, computed from its age.
    pub(crate) at: Instant,
    pub(crate) tenant: Arc<str>,
    /// The requested model.
    pub(crate) model: Arc<str>,
    /// The purges that were known here when its call began.
    pub(crate) epoch: Epoch,
    /// Whether Redis has it or a write is queued. Reset when a write fails, so that the next hit tries again.
    pub(crate) in_redis: AtomicBool,
}

/// The last purges that an answer is newer than: the last of this gateway, and the last known from Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) local: u64,
    pub(crate) shared: u64,
}

impl Entry {
    /// Its age.
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// Its approximate memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let answer = self.answer.as_deref().map_or(0, weight_of);
        // the map's overhead, and the allocator's rounding
        size_of::<Self>() + self.head.weight() + self.body.len() + answer + self.tenant.len() + self.model.len() + 256
    }

    /// The reply that serves this answer.
    pub(crate) fn reply(&self, protocol: &'static Protocol, id: Uuid) -> Reply {
        let mut headers = headers(&self.head, protocol, id, CacheStatus::Hit);
        headers.insert(AGE, HeaderValue::from(self.age().as_secs()));
        Reply {
            status: self.head.status,
            headers,
            body: Body::Whole(self.body.clone()),
            outcome: Outcome::Cached,
            saved: self.answer.clone(),
            sent: None,
            error_type: None,
        }
    }
}

/// The approximate memory of an answer's facts, in bytes.
fn weight_of(answer: &Answer) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let texts = [&answer.id, &answer.model, &answer.stop_reason, &answer.error_type].into_iter().map(text);
    let usage = answer.usage.as_ref().map_or(0, |usage| {
        let texts = [&usage.service_tier, &usage.inference_geo, &usage.speed].into_iter().map(text);
        let iterations = usage.iterations.iter();
        let iterations = iterations.map(|each| size_of::<Iteration>() + each.kind.len() + text(&each.model) + 32);
        texts.chain(iterations).sum::<usize>() + usage.raw.as_ref().map_or(0, |raw| raw.get().len())
    });
    size_of::<Answer>() + texts.sum::<usize>() + usage + 128
}

/// The headers of a stored or shared answer for another exchange.
pub(crate) fn headers(head: &StoredHead, protocol: &'static Protocol, id: Uuid, status: CacheStatus) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(head.headers.len() + 5);
    for (name, value) in &head.headers {
        headers.append(name.clone(), value.clone());
    }
    headers.insert(X_CACHE, mark(status));
    let mut text = Uuid::encode_buffer();
    if let Ok(id) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)) {
        if let Some(header) = protocol.errors.request_id_header {
            headers.insert(HeaderName::from_static(header), id.clone());
        }
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = &head.request_id {
        headers.insert(CACHED_REQUEST_ID, id.clone());
    }
    headers
}

/// The value of `x-cache`.
pub(crate) fn mark(status: CacheStatus) -> HeaderValue {
    HeaderValue::from_static(match status {
        CacheStatus::Hit => "HIT",
        CacheStatus::Miss => "MISS",
        CacheStatus::Coalesced => "COALESCED",
        CacheStatus::Bypass => "BYPASS",
    })
}

/// Stop reasons of answers that are not stored: the client is to continue them, a filter refused them, or a second try may
/// succeed.
const NOT_KEPT: [&str; 10] = [
    "pause_turn",
    "refusal",
    "compaction",
    "content_filter",
    "sensitive",
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "malformed_function_call",
];

/// Whether an answer with this status and these facts may be stored.
pub(crate) fn may_be_kept(status: StatusCode, answer: &Answer) -> bool {
    let stopped = answer.stop_reason.as_deref().unwrap_or_default();
    status == StatusCode::OK
        && answer.state == plugin_api::AnswerState::Complete
        && answer.error_type.is_none()
        // the server's state may be gone when the answer is served
        && !answer.server_state
        && !NOT_KEPT.iter().any(|stop| stopped.eq_ignore_ascii_case(stop))
}

#[cfg(test)]
impl Entry {
    /// An answer of tenant `t` and model `m`.
    pub(crate) fn of_body(body: impl Into<Bytes>) -> Self {
        Self {
            head: Arc::new(StoredHead { status: StatusCode::OK, headers: Vec::new(), request_id: None }),
            body: body.into(),
            answer: None,
            at: Instant::now(),
            tenant: "t".into(),
            model: "m".into(),
            epoch: Epoch::default(),
            in_redis: false.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::AnswerState;

    use super::*;

    #[test]
    fn an_answer_that_was_cut_off_by_a_filter_or_is_to_be_gone_on_with_is_not_kept() {
        for (stop, may) in [
            ("stop", true),
            ("length", true),
            ("end_turn", true),
            ("pause_turn", false),
            ("content_filter", false),
            ("SAFETY", false),
            ("sensitive", false),
            ("malformed_function_call", false),
        ] {
            let answer =
                Answer { state: AnswerState::Complete, stop_reason: Some(stop.to_owned()), ..Answer::default() };
            assert_eq!(may_be_kept(StatusCode::OK, &answer), may, "{stop}");
        }
    }
}
