//! The way out: the upstream's answer as it passes, and the answers made here.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{Chunk, HeaderEdit, HeaderEdits, Reply, ResponseHead};
use tokio::time::timeout;

use super::exchange::Exchange;
use super::failure::{Failure, PLUGIN_PANIC};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a client may go on sending a body that nobody wants, and how long it may pause (nginx: `lingering_time`,
/// `lingering_timeout`). Closing earlier makes its system throw the answer away unread.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// How long one may go on who was too slow in the first place.
const LINGER_LATE: Duration = Duration::from_secs(1);

/// The head of an answer has come from upstream: decides on another attempt.
pub fn on_head(session: &Session, head: &mut ResponseHeader, x: &mut Exchange) -> Result<()> {
    let status = head.status;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(route) = &x.route {
            x.watch.upgraded(route.upstream.timeouts.idle);
        }
        return Ok(());
    }
    if status.is_informational() {
        return Ok(());
    }
    let Some(route) = &x.route else { return Ok(()) };
    let upstream = &route.upstream;
    let servers_left = x.attempts.tried.len() + 1 < upstream.pool.servers().len();
    let worth = upstream.retries_on_status(status.as_u16()) && x.replayable(session);
    if worth && servers_left && x.outcome.attempts < upstream.attempts {
        let mut error = Error::explain(ErrorType::HTTPStatus(status.as_u16()), "a status worth another attempt");
        error.as_up();
        error.set_retry(true);
        return Err(error);
    }
    x.outcome.status = Some(status);
    x.outcome.first_byte = Some(x.began.elapsed());
    x.failure = None;
    x.watch.streams(upstream.timeouts.idle);
    strip_hop_by_hop(head);
    Ok(())
}

/// The head is about to go to the client.
pub async fn on_head_to_client(session: &mut Session, head: &mut ResponseHeader, x: &mut Exchange) -> Result<()> {
    if session.req_header().version == Version::HTTP_10 && head.headers.contains_key(TRANSFER_ENCODING) {
        // it knows no chunks (RFC 9112 §6.1): the end of the connection is the end of the answer
        head.remove_header(&TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
    if session.is_process_shutting_down() {
        // or the client might ask here again, and find the connection closed
        session.set_keepalive(None);
    }
    if x.seats.is_empty() || head.status.is_informational() {
        return Ok(());
    }
    let edits = run_response_head(head, x).await?;
    apply(head, &edits)
}

/// Bytes of the answer are passing.
pub fn on_chunk(body: Option<&Bytes>, last: bool, x: &mut Exchange) -> Result<()> {
    x.watch.progress();
    if !x.seats.is_empty() {
        let none = Bytes::new();
        let chunk = Chunk { bytes: body.unwrap_or(&none), last };
        x.seats.response_chunk(&chunk).map_err(|plugin| panicked(x, plugin))?;
    }
    Ok(())
}

/// Sends an answer that was made here.
pub async fn send(session: &mut Session, x: &mut Exchange, reply: Reply) -> Result<()> {
    let unread = !session.downstream_session.is_body_done();
    if session.is_process_shutting_down() {
        session.set_keepalive(None);
    }
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 2))?;
    for (name, value) in &reply.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(CONTENT_LENGTH, HeaderValue::from(reply.body.len()))?;
    if !reply.headers.contains_key(REQUEST_ID) {
        head.insert_header(REQUEST_ID, x.outcome.id.to_string())?;
    }
    // after a panic the plugins of this exchange are left alone
    if !x.seats.is_empty() && x.failure != Some(Failure::PluginPanic) {
        let edits = run_response_head(&head, x).await?;
        apply(&mut head, &edits)?;
    }
    if x.failure.is_none() {
        x.outcome.end = reply.end;
    }
    x.outcome.status = Some(reply.status);
    let without_body = session.req_header().method == Method::HEAD || reply.body.is_empty();
    session.write_response_header(Box::new(head), without_body).await.map_err(|e| e.into_down())?;
    if !without_body {
        session.write_response_body(Some(reply.body), true).await.map_err(|e| e.into_down())?;
    }
    if unread && session.req_header().version != Version::HTTP_2 {
        linger(session, if reply.status == StatusCode::REQUEST_TIMEOUT { LINGER_LATE } else { LINGER }).await;
    }
    Ok(())
}

/// Reads what the client still sends, so that it finds the answer before it finds the connection closed.
async fn linger(session: &mut Session, longest: Duration) {
    let drained = async {
        while let Ok(Ok(Some(_))) = timeout(LINGER_PAUSE, session.downstream_session.read_request_body()).await {}
    };
    // whoever sends for longer than that is cut
    let _ = timeout(longest, drained).await;
}

async fn run_response_head(head: &ResponseHeader, x: &mut Exchange) -> Result<HeaderEdits> {
    let mut seen = ResponseHead { status: head.status, headers: &head.headers, edits: HeaderEdits::default() };
    x.seats.response_head(&mut seen).await.map_err(|plugin| panicked(x, plugin))?;
    Ok(seen.edits)
}

fn apply(head: &mut ResponseHeader, edits: &HeaderEdits) -> Result<()> {
    for edit in edits.iter() {
        match edit {
            HeaderEdit::Set(name, value) => head.insert_header(name.clone(), value.clone())?,
            HeaderEdit::Remove(name) => {
                head.remove_header(name);
            }
        }
    }
    Ok(())
}

fn panicked(x: &Exchange, plugin: &'static str) -> Box<Error> {
    x.snapshot.metrics.plugin_panicked(plugin);
    let mut error = Error::explain(ErrorType::CustomCode(PLUGIN_PANIC, 500), "a plugin panicked");
    error.esource = ErrorSource::Internal;
    error
}

/// Takes out what belongs to the connection with the upstream alone (RFC 9110 §7.6.1).
fn strip_hop_by_hop(head: &mut ResponseHeader) {
    // one pass over the names is cheaper than a look-up for each, and mostly there are none
    let is_hop =
        |name: &&HeaderName| matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection" | "upgrade");
    let mut names: Vec<HeaderName> = head.headers.keys().filter(is_hop).cloned().collect();
    if names.is_empty() {
        return;
    }
    let nominated =
        head.headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let nominated = nominated.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    names.extend(nominated.filter(|name| !matches!(name.as_str(), "content-length" | "transfer-encoding")));
    for name in &names {
        head.remove_header(name);
    }
}
