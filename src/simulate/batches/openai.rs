//! OpenAI's batches: how one is made of a file that was uploaded, and how it looks.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::draws::Draws;
use super::super::endpoint::Kind;
use super::super::failure::Failure;
use super::super::settings::Settings;
use super::Batch;
use super::files::{Files, seconds};
use super::outcome::Line;

const DAY: Duration = Duration::from_secs(86_400);
/// The provider's bound on one batch.
const MOST_REQUESTS: usize = 50_000;
const WINDOW: &str = "24h";

/// What only OpenAI's batches have.
pub(super) struct Details {
    endpoint: String,
    input_file: String,
    metadata: Option<BTreeMap<String, String>>,
    pub(super) output_file: String,
    pub(super) error_file: String,
}

#[derive(Deserialize)]
struct Handed {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    custom_id: String,
    method: String,
    url: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// A batch that is made of a file.
pub(super) fn create(
    body: &[u8],
    files: &Files,
    settings: &Settings,
    earlier: u64,
    draws: Draws,
) -> Result<(Details, Vec<Line>), Failure> {
    let wrong = |why: String| Failure::bad_request(why);
    let handed: Handed = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    if handed.completion_window != WINDOW {
        return Err(wrong(format!("completion_window: `{}` is not {WINDOW}", handed.completion_window)));
    }
    let kind = match handed.endpoint.as_str() {
        "/v1/chat/completions" => Kind::Chat,
        "/v1/completions" => Kind::Completions,
        "/v1/embeddings" => Kind::Embeddings,
        "/v1/responses" => Kind::Responses,
        other => return Err(wrong(format!("endpoint: `{other}` takes no batches"))),
    };
    let text = files.input(&handed.input_file_id)?;
    let mut lines = Vec::new();
    let mut seen = HashSet::new();
    for (place, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        let bad = |why: String| wrong(format!("line {}: {why}", place + 1));
        let request: Request<'_> = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
        if request.method != "POST" || request.url != handed.endpoint {
            return Err(bad(format!("{} {} is not POST {}", request.method, request.url, handed.endpoint)));
        }
        if place == MOST_REQUESTS {
            return Err(bad(format!("there are more than {MOST_REQUESTS} requests")));
        }
        if !seen.insert(request.custom_id.clone()) {
            return Err(bad(format!("custom_id `{}` is there twice", request.custom_id)));
        }
        lines.push(Line::draw(request.custom_id, kind, request.body.get(), settings, earlier + place as u64));
    }
    if lines.is_empty() {
        return Err(wrong("the file holds no request".to_owned()));
    }
    let Handed { input_file_id, endpoint, metadata, .. } = handed;
    let (output_file, error_file) = (draws.id("file-out"), draws.id("file-err"));
    Ok((Details { endpoint, input_file: input_file_id, metadata, output_file, error_file }, lines))
}

/// How a batch looks.
pub(super) fn describe(batch: &Batch, details: &Details, now: SystemTime) -> Vec<u8> {
    value(batch, details, now).to_string().into()
}

/// A page of them.
pub(super) fn list(page: &[&Batch], has_more: bool, now: SystemTime) -> Vec<u8> {
    let of = |batch: &&Batch| batch.openai.as_ref().map(|details| value(batch, details, now));
    let data: Vec<Value> = page.iter().filter_map(of).collect();
    let id = |batch: Option<&&Batch>| batch.map(|batch| batch.id.clone());
    let (first, last) = (id(page.first()), id(page.last()));
    json!({ "object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more })
        .to_string()
        .into()
}

fn value(batch: &Batch, details: &Details, now: SystemTime) -> Value {
    let ended = batch.has_ended(now);
    let counts = batch.counts(now);
    let total = batch.lines.len();
    let expired = counts.expired > 0;
    let status = match (ended, batch.cancelled) {
        (true, Some(_)) => "cancelled",
        (true, None) if expired => "expired",
        (true, None) => "completed",
        (false, Some(_)) => "cancelling",
        (false, None) => "in_progress",
    };
    let at = |name: &str| (ended && status == name).then(|| seconds(batch.ended_at()));
    let failed = total - counts.succeeded - counts.processing;
    json!({
        "id": batch.id,
        "object": "batch",
        "endpoint": details.endpoint,
        "errors": null,
        "input_file_id": details.input_file,
        "completion_window": WINDOW,
        "status": status,
        "output_file_id": (ended && counts.succeeded > 0).then_some(&details.output_file),
        "error_file_id": (ended && failed > 0).then_some(&details.error_file),
        "created_at": seconds(batch.created),
        "in_progress_at": seconds(batch.created),
        "expires_at": seconds(batch.created + DAY),
        "finalizing_at": null,
        "completed_at": at("completed"),
        "failed_at": null,
        "expired_at": at("expired"),
        "cancelling_at": batch.cancelled.map(seconds),
        "cancelled_at": at("cancelled"),
        "request_counts": { "total": total, "completed": counts.succeeded, "failed": if ended { failed } else { 0 } },
        "metadata": details.metadata,
    })
}
