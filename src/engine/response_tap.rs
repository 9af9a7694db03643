//! An answer as it passes to the client, wherever it comes from: a copy is read, and the plugins see the bytes that are sent.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{Chunk, HeaderEdit, LONGEST_TEXT, Outcome, Protocol, Reply, shortened};
use protocols::{AnswerReader, BatchReader, StreamUsageFilter, batch_of_results};

use crate::exchange::ending::Part;
use crate::exchange::response_observer::ResponseObserver;

use super::attempt_error::PLUGIN_PANIC;
use super::ctx::Exchange;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Begins to read an answer of the upstream, if the log or a plugin needs it. The reader of an earlier attempt is dropped.
pub fn begin(status: StatusCode, headers: &HeaderMap, ctx: &mut Exchange) {
    ctx.observer = ResponseObserver::Nothing;
    if !ctx.needs_answer() {
        return;
    }
    let id = headers.get(REQUEST_ID).or_else(|| headers.get(X_REQUEST_ID));
    ctx.record.upstream_request_id =
        id.and_then(|id| id.to_str().ok()).map(|id| shortened(id, LONGEST_TEXT).into_owned());
    ctx.find_endpoint();
    ctx.observer = match ctx.record.endpoint {
        Some(endpoint) => {
            let reader = AnswerReader::new(endpoint, status, headers);
            ResponseObserver::Answer(Box::new(with_words(reader, ctx)))
        }
        None => match batch(ctx, status) {
            Some((protocol, batch)) => ResponseObserver::Batch(Box::new(BatchReader::new(protocol, batch, headers))),
            None => ResponseObserver::Nothing,
        },
    };
}

/// Begins to read an answer that a plugin gives: one of the upstream, or one that it replays and that is still to come.
pub fn begin_replay(reply: &Reply, ctx: &mut Exchange) {
    ctx.observer.conclude(&mut ctx.record);
    if reply.is_of_upstream() {
        return begin(reply.status, &reply.headers, ctx);
    }
    let is_unread = reply.outcome == Outcome::Cached && reply.saved.is_none() && reply.body.whole().is_none();
    let endpoint = ctx.record.endpoint.filter(|_| is_unread && ctx.needs_answer());
    ctx.observer = match endpoint {
        Some(endpoint) => {
            let reader = AnswerReader::new(endpoint, reply.status, &reply.headers);
            ResponseObserver::Saved(Box::new(with_words(reader, ctx)))
        }
        None => ResponseObserver::Nothing,
    };
}

/// The reader, which reads words where the call may be a turn of a conversation.
fn with_words(reader: AnswerReader, ctx: &Exchange) -> AnswerReader {
    if ctx.record.conversation.is_some() { reader.with_words() } else { reader }
}

/// The batch whose results the request downloads.
fn batch(ctx: &Exchange, status: StatusCode) -> Option<(&'static Protocol, &str)> {
    let asked = ctx.record.method == Method::GET
        && status == StatusCode::OK
        && ctx.route.as_ref().is_some_and(|route| route.chain.needs().batch_results);
    batch_of_results(ctx.path()).filter(|_| asked)
}

/// Reads bytes of an answer.
///
/// # Errors
/// A plugin panicked.
pub fn read(bytes: &[u8], last: bool, ctx: &mut Exchange) -> Result<()> {
    let found = ctx.observer.observe(bytes, last);
    if found.content && ctx.record.first_token.is_none() {
        ctx.record.first_token = Some(ctx.began.elapsed());
    }
    let shown = found.results.iter().try_for_each(|result| ctx.plugins.on_batch_result(&ctx.record, result));
    shown.map_err(|plugin| panicked(ctx, plugin))
}

/// Which part of the whole answer the bytes are that were just read.
#[must_use]
pub fn part(last: bool, ctx: &Exchange) -> Part {
    let held_back = || ctx.stream_usage.as_ref().is_some_and(|filter| filter.holds_back());
    match last {
        true => Part::Last,
        false if ctx.observer.is_complete() && !held_back() => Part::Complete,
        false => Part::Some,
    }
}

/// Prepares to take out of a stream the usage that its client did not ask for.
///
/// # Errors
/// That the head cannot be changed, which would be a fault of the gateway.
pub fn begin_filter(head: &mut ResponseHeader, ctx: &mut Exchange) -> Result<()> {
    ctx.stream_usage = None;
    if !ctx.adds_stream_usage || !head.status.is_success() || !may_be_stream(&head.headers) {
        return Ok(());
    }
    ctx.stream_usage = Some(Box::default());
    if head.remove_header(&CONTENT_LENGTH).is_some() {
        // it gets shorter; over h2 this goes no further
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    Ok(())
}

/// Whether an answer with these headers can be a stream of events in plain text.
fn may_be_stream(headers: &HeaderMap) -> bool {
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let other = kind.is_some_and(|kind| !kind.to_ascii_lowercase().starts_with(b"text/event-stream"));
    !encoded && !other
}

/// The part of these bytes that goes to the client.
pub fn filtered(filter: &mut StreamUsageFilter, bytes: &[u8], last: bool) -> Bytes {
    let out = filter.feed(bytes);
    if !last {
        return out;
    }
    let rest = filter.finish();
    if rest.is_empty() {
        return out;
    }
    let mut all = BytesMut::from(&*out);
    all.extend_from_slice(&rest);
    all.freeze()
}

/// Shows the plugins a head that is about to be sent, and makes the changes that they want.
///
/// # Errors
/// That a plugin panicked.
pub async fn show_head(session: &Session, head: &mut ResponseHeader, ctx: &mut Exchange) -> Result<()> {
    let (mut seen, plugins) = ctx.response(session, head);
    let ran = plugins.on_response(&mut seen).await;
    let edits = seen.edits;
    ran.map_err(|plugin| panicked(ctx, plugin))?;
    for edit in edits.iter() {
        match edit {
            HeaderEdit::Set(name, value) => head.insert_header(name.clone(), value.clone())?,
            HeaderEdit::Append(name, value) => {
                head.append_header(name.clone(), value.clone())?;
            }
            HeaderEdit::Remove(name) => {
                head.remove_header(name);
            }
        }
    }
    Ok(())
}

/// Shows the plugins bytes that are about to be sent.
///
/// # Errors
/// That a plugin panicked.
pub fn show_chunk(bytes: &Bytes, part: Part, ctx: &mut Exchange) -> Result<()> {
    if ctx.plugins.is_empty() {
        return Ok(());
    }
    let (last, complete) = (part == Part::Last, part == Part::Complete);
    let mut chunk = Chunk { context: &ctx.record.context, bytes, last, complete };
    ctx.plugins.on_chunk(&mut chunk).map_err(|plugin| panicked(ctx, plugin))
}

/// The error by which a plugin's panic ends its exchange.
pub fn panicked(ctx: &mut Exchange, plugin: &'static str) -> Box<Error> {
    ctx.plugin_panicked(plugin);
    let mut error = Error::explain(ErrorType::CustomCode(PLUGIN_PANIC, 500), "a plugin panicked");
    error.esource = ErrorSource::Internal;
    error
}
