//! The way out of the upstream's answer: its head judged, its bytes shown to the plugins as they pass.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, Method, StatusCode, Version};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{Chunk, HeaderEdit, HeaderEdits, ResponseHead};

use super::exchange::Exchange;
use super::failure::PLUGIN_PANIC;
use super::reading;
use super::retry;

/// The head of an answer has come from upstream: decides on another attempt.
pub fn on_head(session: &Session, head: &mut ResponseHeader, x: &mut Exchange) -> Result<()> {
    let status = head.status;
    let Some(upstream) = x.attempts.upstream.clone() else { return Ok(()) };
    if status == StatusCode::SWITCHING_PROTOCOLS {
        x.watch.upgraded(upstream.timeouts.idle);
        return Ok(());
    }
    if status.is_informational() {
        return Ok(());
    }
    if retry::on_answer(session, head, x) {
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
    reading::begin(head, x);
    reading::begin_filter(head, x)
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
    show_head(head, x).await?;
    x.passing_head(session, body_length(session, head));
    Ok(())
}

/// How long an answer's body is, where its head says so (RFC 9112 §6.3).
fn body_length(session: &Session, head: &ResponseHeader) -> Option<u64> {
    let without = session.req_header().method == Method::HEAD
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = || head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    if without { Some(0) } else { length() }
}

/// Bytes of the answer are passing.
pub fn on_chunk(session: &Session, body: &mut Option<Bytes>, last: bool, x: &mut Exchange) -> Result<()> {
    x.watch.progress();
    read(body.as_deref().unwrap_or_default(), last, x)?;
    if let Some(filter) = &mut x.stream_usage {
        *body = Some(reading::filtered(filter, body.as_deref().unwrap_or_default(), last));
    }
    let none = Bytes::new();
    let bytes = body.as_ref().unwrap_or(&none);
    show_chunk(bytes, last, x)?;
    x.passing(session, bytes.len() as u64, last);
    Ok(())
}

/// Reads bytes of an answer.
pub fn read(bytes: &[u8], last: bool, x: &mut Exchange) -> Result<()> {
    reading::read(bytes, last, x).map_err(|plugin| panicked(x, plugin))
}

/// Shows the plugins a head that is about to be sent, and makes the changes that they want.
pub async fn show_head(head: &mut ResponseHeader, x: &mut Exchange) -> Result<()> {
    let edits = run_response_head(head, x).await?;
    apply(head, &edits)
}

/// Shows the plugins bytes that are about to be sent.
pub fn show_chunk(bytes: &Bytes, last: bool, x: &mut Exchange) -> Result<()> {
    if x.seats.is_empty() {
        return Ok(());
    }
    x.seats.response_chunk(&Chunk { bytes, last }).map_err(|plugin| panicked(x, plugin))
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
