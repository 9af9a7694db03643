//! Anthropic's message batches: how one is handed in, and how it looks.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_micros;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::endpoint::Kind;
use super::super::failure::Failure;
use super::super::settings::Settings;
use super::Batch;
use super::outcome::Line;

const DAY: Duration = Duration::from_secs(86_400);
/// The provider's bounds on one batch, and on an id.
const MOST_REQUESTS: usize = 100_000;
const LONGEST_ID: usize = 64;

#[derive(Deserialize)]
struct Handed<'a> {
    #[serde(borrow)]
    requests: Vec<Request<'a>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    custom_id: String,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// The requests of a batch that is handed in.
pub(super) fn lines(body: &[u8], settings: &Settings, earlier: u64) -> Result<Vec<Line>, Failure> {
    let wrong = |why: String| Failure::bad_request(why);
    let handed: Handed<'_> = serde_json::from_slice(body).map_err(|error| wrong(format!("requests: {error}")))?;
    match handed.requests.len() {
        0 => return Err(wrong("requests: at least one is needed".to_owned())),
        1..=MOST_REQUESTS => {}
        _ => return Err(wrong(format!("requests: more than {MOST_REQUESTS}"))),
    }
    let mut seen = HashSet::new();
    for (place, request) in handed.requests.iter().enumerate() {
        let id = &request.custom_id;
        let is_named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(is_named) {
            return Err(wrong(format!("requests.{place}.custom_id: `{id}` does not match ^[a-zA-Z0-9_-]{{1,64}}$")));
        }
        if !seen.insert(id) {
            return Err(wrong(format!("requests.{place}.custom_id: `{id}` is there twice")));
        }
    }
    let line = |(number, request): (u64, Request<'_>)| {
        Line::draw(request.custom_id, Kind::Messages, request.params.get(), settings, number)
    };
    Ok((earlier..).zip(handed.requests).map(line).collect())
}

/// How a batch looks.
pub(super) fn describe(batch: &Batch, host: &str, now: SystemTime) -> Vec<u8> {
    value(batch, host, now).to_string().into()
}

/// A page of them.
pub(super) fn list(page: &[&Batch], has_more: bool, host: &str, now: SystemTime) -> Vec<u8> {
    let data: Vec<Value> = page.iter().map(|batch| value(batch, host, now)).collect();
    let id = |batch: Option<&&Batch>| batch.map(|batch| batch.id.clone());
    let (first, last) = (id(page.first()), id(page.last()));
    json!({ "data": data, "has_more": has_more, "first_id": first, "last_id": last }).to_string().into()
}

fn value(batch: &Batch, host: &str, now: SystemTime) -> Value {
    let ended = batch.has_ended(now);
    let time = |at: SystemTime| format_rfc3339_micros(at).to_string();
    let status = match (ended, batch.cancelled) {
        (true, _) => "ended",
        (false, Some(_)) => "canceling",
        (false, None) => "in_progress",
    };
    json!({
        "id": batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": batch.counts(now),
        "ended_at": ended.then(|| time(batch.ended_at())),
        "created_at": time(batch.created),
        "expires_at": time(batch.created + DAY),
        "archived_at": null,
        "cancel_initiated_at": batch.cancelled.map(time),
        "results_url": ended.then(|| format!("http://{host}/v1/messages/batches/{}/results", batch.id)),
    })
}
