//! Anthropic's message batches. Their list names no call, so a lost submission is found by its time, its size, and the ids in its results.

use bytes::Bytes;
use http::Method;
use plugin_api::Uuid;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Files, Handed, Line, Link, Progress, Search, Submitted, outcome_of, results};
use crate::call::{Group, Millis};
use crate::entry::{Failure, Outcome};

/// How far the provider's clock may be from ours.
const CLOCKS: Millis = 10 * 60 * 1000;
/// Batches in a page of the list, and pages that are looked at.
const PAGE: usize = 100;
const PAGES: usize = 50;

#[derive(Debug, Deserialize)]
struct Batch {
    id: String,
    processing_status: String,
    created_at: String,
    request_counts: Counts,
}

#[derive(Debug, Deserialize)]
struct Counts {
    processing: usize,
    succeeded: usize,
    errored: usize,
    canceled: usize,
    expired: usize,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Batch>,
    has_more: bool,
    last_id: Option<String>,
}

#[derive(Deserialize)]
struct ResultLine<'a> {
    custom_id: String,
    #[serde(borrow)]
    result: CallResult<'a>,
}

#[derive(Deserialize)]
struct CallResult<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorObject {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(rename = "type")]
    kind: String,
}

impl Batch {
    fn has_ended(&self) -> bool {
        self.processing_status == "ended"
    }
}

impl Counts {
    fn all(&self) -> usize {
        self.processing + self.succeeded + self.errored + self.canceled + self.expired
    }
}

/// A path below that of the batches.
pub(super) fn path(group: &Group, below: &str) -> String {
    format!("{}/batches{below}{}", group.path, group.query)
}

pub(super) async fn submit(link: &dyn Link, handed: &Handed, bodies: Vec<Bytes>) -> Submitted {
    let mut body = Vec::with_capacity(bodies.iter().map(|body| body.len() + 80).sum());
    body.extend_from_slice(b"{\"requests\":[");
    for (place, (id, call)) in handed.calls.iter().zip(&bodies).enumerate() {
        let comma = if place == 0 { "" } else { "," };
        body.extend_from_slice(format!("{comma}{{\"custom_id\":\"{id}\",\"params\":").as_bytes());
        body.extend_from_slice(call);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    drop(bodies);
    let group = &handed.group;
    let ask = Ask::new(group, &group.upstream, Method::POST, path(group, "")).with("application/json", body);
    let got = match link.send(ask).await {
        Ok(got) => got,
        Err(unsent) => return unsent.into(),
    };
    if let Some(refusal) = got.refusal() {
        return refusal;
    }
    match serde_json::from_slice::<Batch>(&got.body) {
        Ok(batch) => Submitted::Made { batch: batch.id, upstream: got.upstream },
        Err(error) => Submitted::Unclear(format!("the answer is no batch: {error}")),
    }
}

pub(super) async fn find(link: &dyn Link, handed: &Handed, known: &(dyn Fn(&str) -> bool + Sync)) -> Search {
    let group = &handed.group;
    let (mut after, mut perhaps) = (String::new(), false);
    for _ in 0..PAGES {
        let join = if group.query.is_empty() { '?' } else { '&' };
        let target = format!("{}{join}limit={PAGE}{after}", path(group, ""));
        let got = match link.send(Ask::new(group, &group.upstream, Method::GET, target)).await {
            Ok(got) if got.status == 200 => got,
            Ok(got) => return Search::Failed(got.words()),
            Err(unsent) => return Search::Failed(unsent.words()),
        };
        let page: Page = match serde_json::from_slice(&got.body) {
            Ok(page) => page,
            Err(error) => return Search::Failed(format!("the list of batches cannot be read: {error}")),
        };
        for batch in &page.data {
            let created = created(batch);
            if created.is_some_and(|created| created + CLOCKS < handed.handed_in()) {
                // the list goes back in time
                return if perhaps { Search::Perhaps } else { Search::Nothing };
            }
            if batch.request_counts.all() != handed.calls.len() || known(&batch.id) {
                continue;
            }
            if !batch.has_ended() {
                perhaps = true;
                continue;
            }
            match results(link, group, &got.upstream, &[results_of(group, &batch.id)]).await {
                Ok(results) if results.lines.iter().any(|line| handed.calls.contains(&line.call)) => {
                    return Search::Found { batch: batch.id.clone(), upstream: got.upstream };
                }
                Ok(_) => {}
                Err(why) => return Search::Failed(why),
            }
        }
        match page.last_id.filter(|_| page.has_more) {
            Some(last) => after = format!("&after_id={last}"),
            None => return if perhaps { Search::Perhaps } else { Search::Nothing },
        }
    }
    Search::Failed(format!("it is not among the last {} batches, and there are more of its time", PAGE * PAGES))
}

fn created(batch: &Batch) -> Option<Millis> {
    let at = humantime::parse_rfc3339_weak(batch.created_at.trim_end_matches("+00:00")).ok()?;
    u64::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()
}

pub(super) async fn poll(link: &dyn Link, group: &Group, upstream: &str, name: &str) -> Progress {
    let got = match link.send(Ask::new(group, upstream, Method::GET, path(group, &format!("/{name}")))).await {
        Ok(got) => got,
        Err(unsent) => return Progress::Unclear(None, unsent.words()),
    };
    match got.status {
        200 => {}
        404 => return Progress::Unknown(got.words()),
        _ => return Progress::Unclear(got.retry_after, got.words()),
    }
    let batch: Batch = match serde_json::from_slice(&got.body) {
        Ok(batch) => batch,
        Err(error) => return Progress::Unclear(None, format!("the answer is no batch: {error}")),
    };
    if !batch.has_ended() {
        return Progress::Running(got.retry_after);
    }
    Progress::Over(Files { results: vec![results_of(group, name)], waste: Vec::new() })
}

fn results_of(group: &Group, name: &str) -> String {
    path(group, &format!("/{name}/results"))
}

/// What a line says of a call; `None` for a call of somebody else.
pub(super) fn line_of(line: &str) -> Option<Result<Line, String>> {
    let parsed: ResultLine<'_> = match serde_json::from_str(line) {
        Ok(parsed) => parsed,
        Err(error) => return Some(Err(format!("a line of the results cannot be read: {error}"))),
    };
    let call = Uuid::try_parse(&parsed.custom_id).ok()?;
    let text = |json: Option<&RawValue>| Bytes::copy_from_slice(json.map(RawValue::get).unwrap_or_default().as_bytes());
    let result = parsed.result;
    let (outcome, body) = match (result.kind, result.message, result.error) {
        ("succeeded", message @ Some(_), _) => (Outcome::Given(200), text(message)),
        ("expired", ..) => (Outcome::Failed(Failure::Expired), Bytes::new()),
        ("canceled", ..) => (Outcome::Failed(Failure::Canceled), Bytes::new()),
        (_, _, error) => (error.map_or(Outcome::Failed(Failure::Errored), blame), text(error)),
    };
    Some(Ok(Line { call, outcome, body }))
}

/// Whose fault an error is, by its type.
fn blame(error: &RawValue) -> Outcome {
    let kind = serde_json::from_str::<ErrorObject>(error.get()).map(|object| object.error.kind).unwrap_or_default();
    outcome_of(match kind.as_str() {
        "invalid_request_error" | "invalid_request" => 400,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        _ => 500,
    })
}
