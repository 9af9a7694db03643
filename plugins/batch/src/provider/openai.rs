//! OpenAI's batches: calls go up as a file, and a lost submission is found by the id in its metadata.

use bytes::Bytes;
use http::Method;
use plugin_api::Uuid;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::uploads::{Upload, Uploads};
use super::{Ask, Files, Handed, Line, Link, Progress, Search, Submitted, delete, outcome_of};
use crate::call::{Api, Group};
use crate::entry::{Failure, Outcome};
use crate::request::one_line;

/// How far the provider's clock may be from ours, in seconds.
const CLOCKS: u64 = 10 * 60;
const PAGE: usize = 100;
const PAGES: usize = 50;
/// The name of our submission in a batch's metadata.
const METADATA: &str = "tollgate_submission";

#[derive(Deserialize)]
struct File {
    id: String,
}

#[derive(Deserialize)]
struct Batch {
    id: String,
    status: String,
    created_at: u64,
    input_file_id: Option<String>,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    errors: Option<Errors>,
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    data: Vec<BatchError>,
}

#[derive(Deserialize)]
struct BatchError {
    message: Option<String>,
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
    response: Option<CallResponse<'a>>,
    error: Option<CallError>,
}

#[derive(Deserialize)]
struct CallResponse<'a> {
    status_code: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct CallError {
    code: Option<String>,
}

/// The path of the calls of an API behind the base that all share.
fn endpoint(api: Api) -> &'static str {
    match api {
        Api::Chat => "/chat/completions",
        Api::Responses => "/responses",
        Api::Embeddings => "/embeddings",
        Api::Messages => "/messages",
    }
}

/// What stands before the endpoint in a path.
pub(super) fn base(api: Api, path: &str) -> Option<&str> {
    path.strip_suffix(endpoint(api))
}

/// A path beside the endpoint's.
pub(super) fn path(group: &Group, below: &str) -> String {
    format!("{}{below}{}", base(group.api, &group.path).unwrap_or_default(), group.query)
}

pub(super) async fn submit(link: &dyn Link, handed: &Handed, bodies: Vec<Bytes>, uploads: &Uploads) -> Submitted {
    let group = &handed.group;
    let (ready, stale) = uploads.take(&handed.calls);
    let upload = match ready {
        Some(upload) => Ok(upload),
        None => upload(link, handed, bodies).await,
    };
    let (submitted, waste) = match upload {
        Err(submitted) => (submitted, None),
        Ok(upload) => match make(link, handed, &upload).await {
            submitted @ (Submitted::Refused(_) | Submitted::Invalid(_)) => (submitted, Some(upload)),
            submitted @ (Submitted::Wait(..) | Submitted::NotSent(_)) => {
                uploads.keep(upload);
                (submitted, None)
            }
            // a batch has it, or may have it
            submitted @ (Submitted::Made { .. } | Submitted::Unclear(_)) => (submitted, None),
        },
    };
    for upload in stale.into_iter().chain(waste) {
        delete(link, group, &upload.upstream, &[path(group, &format!("/files/{}", upload.file))]).await;
    }
    submitted
}

/// Hands in a file of calls.
async fn upload(link: &dyn Link, handed: &Handed, bodies: Vec<Bytes>) -> Result<Upload, Submitted> {
    let group = &handed.group;
    let ask = Ask::new(group, &group.upstream, Method::POST, path(group, "/files"));
    let got = link.send(form(ask, handed, bodies)).await.map_err(|unsent| Submitted::NotSent(unsent.words()))?;
    match got.refusal() {
        // a file costs nothing: one too many does no harm
        Some(Submitted::Unclear(why)) => return Err(Submitted::NotSent(why)),
        Some(refusal) => return Err(refusal),
        None => {}
    }
    match serde_json::from_slice::<File>(&got.body) {
        Ok(file) => Ok(Upload { calls: handed.calls.clone(), file: file.id, upstream: got.upstream }),
        Err(error) => Err(Submitted::Refused(format!("the answer is no file: {error}"))),
    }
}

/// Makes a batch of a file.
async fn make(link: &dyn Link, handed: &Handed, upload: &Upload) -> Submitted {
    let group = &handed.group;
    let body = json!({
        "input_file_id": upload.file,
        "endpoint": format!("/v1{}", endpoint(group.api)),
        "completion_window": "24h",
        "metadata": { METADATA: handed.id.to_string() },
    });
    // where the file is
    let ask = Ask::new(group, &upload.upstream, Method::POST, path(group, "/batches"));
    let got = match link.send(ask.with("application/json", body.to_string())).await {
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

/// The form with a file of these calls.
fn form(ask: Ask, handed: &Handed, bodies: Vec<Bytes>) -> Ask {
    let boundary = format!("tollgate-{}", handed.id.simple());
    let mut form = Vec::with_capacity(bodies.iter().map(|body| body.len() + 140).sum::<usize>() + 512);
    form.extend_from_slice(
        format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{boundary}\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"{}.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n",
            handed.id
        )
        .as_bytes(),
    );
    let url = endpoint(handed.group.api);
    for (id, call) in handed.calls.iter().zip(bodies) {
        let head = format!("{{\"custom_id\":\"{id}\",\"method\":\"POST\",\"url\":\"/v1{url}\",\"body\":");
        form.extend_from_slice(head.as_bytes());
        form.extend(one_line(&call));
        form.extend_from_slice(b"}\n");
    }
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    ask.with(format!("multipart/form-data; boundary={boundary}"), form)
}

pub(super) async fn find(link: &dyn Link, handed: &Handed) -> Search {
    let group = &handed.group;
    let mut after = String::new();
    for _ in 0..PAGES {
        let join = if group.query.is_empty() { '?' } else { '&' };
        let target = format!("{}{join}limit={PAGE}{after}", path(group, "/batches"));
        let got = match link.send(Ask::new(group, &group.upstream, Method::GET, target)).await {
            Ok(got) if got.status == 200 => got,
            Ok(got) => return Search::Failed(got.words()),
            Err(unsent) => return Search::Failed(unsent.words()),
        };
        let page: Page = match serde_json::from_slice(&got.body) {
            Ok(page) => page,
            Err(error) => return Search::Failed(format!("the list of batches cannot be read: {error}")),
        };
        for batch in page.data {
            if batch.is_of(handed.id) {
                return Search::Found { batch: batch.id, upstream: got.upstream };
            }
            if batch.created_at + CLOCKS < handed.handed_in() / 1000 {
                return Search::Nothing;
            }
        }
        match page.last_id.filter(|_| page.has_more) {
            Some(last) => after = format!("&after={last}"),
            None => return Search::Nothing,
        }
    }
    Search::Failed(format!("it is not among the last {} batches, and there are more of its time", PAGE * PAGES))
}

impl Batch {
    fn is_of(&self, submission: Uuid) -> bool {
        let named = self.metadata.as_ref().and_then(|metadata| metadata.get(METADATA)?.as_str());
        named.is_some_and(|named| Uuid::try_parse(named) == Ok(submission))
    }
}

pub(super) async fn poll(link: &dyn Link, group: &Group, upstream: &str, name: &str) -> Progress {
    let got = match link.send(Ask::new(group, upstream, Method::GET, path(group, &format!("/batches/{name}")))).await {
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
    match batch.status.as_str() {
        "completed" | "expired" | "cancelled" => {}
        "failed" => {
            let first = batch.errors.and_then(|errors| errors.data.into_iter().next()?.message);
            return Progress::Failed(first.unwrap_or_else(|| "the provider says that it failed".to_owned()));
        }
        _ => return Progress::Running(got.retry_after),
    }
    let results: Vec<String> = [batch.output_file_id, batch.error_file_id].into_iter().flatten().collect();
    let of = |file: &String| path(group, &format!("/files/{file}"));
    let waste = results.iter().chain(&batch.input_file_id).map(of).collect();
    let results = results.iter().map(|file| path(group, &format!("/files/{file}/content"))).collect();
    Progress::Over(Files { results, waste })
}

/// What a line says of a call; `None` for a call of somebody else.
pub(super) fn line_of(line: &str) -> Option<Result<Line, String>> {
    let parsed: ResultLine<'_> = match serde_json::from_str(line) {
        Ok(parsed) => parsed,
        Err(error) => return Some(Err(format!("a line of the results cannot be read: {error}"))),
    };
    let call = Uuid::try_parse(&parsed.custom_id).ok()?;
    let (outcome, body) = match parsed.response {
        Some(response) => (outcome_of(response.status_code), Bytes::copy_from_slice(response.body.get().as_bytes())),
        None => {
            let code = parsed.error.and_then(|error| error.code).unwrap_or_default();
            let why = match code.as_str() {
                "batch_expired" => Failure::Expired,
                "batch_cancelled" | "batch_canceled" => Failure::Canceled,
                _ => Failure::Errored,
            };
            (Outcome::Failed(why), Bytes::new())
        }
    };
    Some(Ok(Line { call, outcome, body }))
}
