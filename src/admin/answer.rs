//! Responses of the admin listener: text, JSON, Prometheus.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A response, whole in memory.
pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.into())
}

pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    answer(status, "application/json", format!("{value}\n").into())
}

/// A file, which browsers save under this name.
pub(super) fn file(status: StatusCode, name: &str, content_type: &'static str, text: String) -> Answer {
    let mut answer = answer(status, content_type, text.into());
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    answer
}

/// Metrics in Prometheus' text format, version 0.0.4.
pub(super) fn prometheus(metrics: Vec<u8>) -> Answer {
    answer(StatusCode::OK, "text/plain; version=0.0.4", metrics.into())
}

pub(super) fn error(status: StatusCode, kind: &str, message: &str) -> Answer {
    json(status, &json!({ "error": kind, "message": message }))
}

pub(super) fn unauthorized(message: &str) -> Answer {
    let mut answer = error(StatusCode::UNAUTHORIZED, "unauthorized", message);
    challenge(&mut answer);
    answer
}

/// Says how a client may authenticate.
pub(super) fn challenge(answer: &mut Answer) {
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollgate\""));
}

pub(super) fn not_found(path: &str) -> Answer {
    error(StatusCode::NOT_FOUND, "not_found", &format!("there is nothing at `{path}`"))
}

pub(super) fn not_allowed(method: &Method, allowed: &str) -> Answer {
    let message = format!("found the method {method}, wanted {allowed}");
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

/// A body of some type, which nothing may keep.
pub(super) fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
