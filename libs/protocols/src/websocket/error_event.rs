//! The event by which a client learns that its message was refused.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::Endpoint;

/// What there is to say of a refusal.
#[derive(Clone, Copy, Debug)]
pub struct EventError<'a> {
    /// The status that the refusal of a request would have.
    pub status: StatusCode,
    /// The headers that it would have.
    pub headers: &'a HeaderMap,
    /// The body that it would have.
    pub body: &'a [u8],
    /// The id that the client gave its message.
    pub event_id: Option<&'a str>,
    /// The id of the request.
    pub request_id: &'a str,
}

/// The text of the event, in the form of this endpoint: the error object of the body, with all that it tells, with the status and those headers that say when
/// to come again.
#[must_use]
pub fn error_event(endpoint: Endpoint, refusal: &EventError<'_>) -> String {
    let body: Value = serde_json::from_slice(refusal.body).unwrap_or_default();
    let mut error = match body.get("error") {
        Some(Value::Object(error)) => error.clone(),
        // a body in a form of the operator's own
        _ => {
            let text = |key| body.get(key).and_then(Value::as_str);
            let message = text("message").or_else(|| text("error")).unwrap_or("The call was refused");
            let mut error = Map::new();
            error.insert("message".into(), message.into());
            error.insert("type".into(), endpoint.protocol.error_type(refusal.status).into());
            error.insert("param".into(), Value::Null);
            error.insert("code".into(), text("error").map_or(Value::Null, Value::from));
            error
        }
    };
    let is_session = endpoint.websocket.is_some_and(|schema| schema.server_begins);
    if is_session {
        error.insert("event_id".into(), refusal.event_id.map_or(Value::Null, Value::from));
        return json!({ "type": "error", "event_id": format!("event_{}", refusal.request_id), "error": error })
            .to_string();
    }
    let told = |name: &str| name == "retry-after" || name.starts_with("x-");
    let headers = refusal.headers.iter().filter(|(name, _)| told(name.as_str()));
    let headers: Map<String, Value> =
        headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.into()))).collect();
    json!({ "type": "error", "status": refusal.status.as_u16(), "error": error, "headers": headers }).to_string()
}
