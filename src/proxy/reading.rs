//! The copy of an answer that is read as it passes, and what of it goes into the exchange's record. A fault of the reading
//! ends the reading and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use log::error;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use plugin_api::{BatchResult, End, Reply};

use crate::dialect::{BatchReader, Reader, StreamUsageFilter, batch_of_results};

use super::exchange::Exchange;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What reads the answer that is passing.
#[derive(Debug, Default)]
pub enum Reading {
    /// Nothing: nobody wants to know, or it is no answer to a call.
    #[default]
    Nothing,
    /// An answer of the upstream's.
    Answer(Box<Reader>),
    /// An answer that a plugin gives again.
    Saved(Box<Reader>),
    /// The results of a batch.
    Batch(Box<BatchReader>),
}

/// Begins to read an answer of the upstream's, where somebody wants to know; one of an earlier attempt is forgotten.
pub fn begin(head: &ResponseHeader, x: &mut Exchange) {
    x.reading = Reading::Nothing;
    if !wanted(x) {
        return;
    }
    let id = head.headers.get(REQUEST_ID).or_else(|| head.headers.get(X_REQUEST_ID));
    x.outcome.upstream_request_id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    x.note_endpoint();
    x.reading = match (x.outcome.endpoint, batch(x, head.status)) {
        (Some(endpoint), _) => Reading::Answer(Box::new(Reader::new(endpoint, head.status, &head.headers))),
        (None, Some(batch)) => Reading::Batch(Box::new(BatchReader::new(batch, &head.headers))),
        (None, None) => Reading::Nothing,
    };
}

/// Begins to read an answer that a plugin gives again and that is still to come.
pub fn begin_again(reply: &Reply, x: &mut Exchange) {
    conclude(x);
    let read = reply.end == End::Cached && reply.saved.is_none() && reply.body.whole().is_none() && wanted(x);
    x.reading = match x.outcome.endpoint.filter(|_| read) {
        Some(endpoint) => Reading::Saved(Box::new(Reader::new(endpoint, reply.status, &reply.headers))),
        None => Reading::Nothing,
    };
}

fn wanted(x: &Exchange) -> bool {
    x.snapshot.access_log.reads_usage() || x.route.as_ref().is_some_and(|route| route.chain.needs().answer)
}

/// The batch whose results the request downloads.
fn batch(x: &Exchange, status: StatusCode) -> Option<&str> {
    let asked = x.outcome.method == Method::GET && status == StatusCode::OK;
    batch_of_results(&x.outcome.path).filter(|_| asked)
}

/// Reads bytes that are passing, decoded and parsed in line with them: it takes about a microsecond for an event.
pub fn read(bytes: &[u8], last: bool, x: &mut Exchange) -> Result<(), &'static str> {
    let mut results: Vec<BatchResult> = Vec::new();
    let reading = &mut x.reading;
    let read = catch_unwind(AssertUnwindSafe(|| match reading {
        Reading::Nothing => false,
        Reading::Answer(reader) | Reading::Saved(reader) => {
            reader.feed(bytes);
            if last {
                reader.finish();
            }
            reader.has_content()
        }
        Reading::Batch(reader) => {
            let mut keep = |result| results.push(result);
            reader.feed(bytes, &mut keep);
            if last {
                reader.finish(&mut keep);
            }
            false
        }
    }));
    match read {
        Ok(has_content) => {
            if has_content && x.outcome.first_token.is_none() {
                x.outcome.first_token = Some(x.began.elapsed());
            }
        }
        Err(_) => {
            error!(id:% = x.outcome.id; "the reader of answers panicked; the answer passes unread");
            x.reading = Reading::Nothing;
        }
    }
    results.iter().try_for_each(|result| x.seats.batch_result(result))
}

/// Puts what was read into the exchange's record, once the whole answer has been.
pub fn end(x: &mut Exchange) {
    let reading = &mut x.reading;
    // a fault of the reading leaves the record without it
    let ended = catch_unwind(AssertUnwindSafe(|| match reading {
        Reading::Answer(reader) | Reading::Saved(reader) => reader.finish(),
        Reading::Nothing | Reading::Batch(_) => {}
    }));
    match (ended, &x.reading) {
        // its results go on to come until it ends
        (Ok(()), Reading::Batch(_)) => {}
        (Ok(()), _) => conclude(x),
        (Err(_), _) => x.reading = Reading::Nothing,
    }
}

/// Puts what was read into the exchange's record.
pub fn conclude(x: &mut Exchange) {
    let conclude = |reader: Box<Reader>| catch_unwind(AssertUnwindSafe(|| reader.into_answer())).ok();
    match std::mem::take(&mut x.reading) {
        Reading::Answer(reader) => x.outcome.answer = conclude(reader),
        Reading::Saved(reader) => x.outcome.saved = conclude(reader),
        Reading::Nothing | Reading::Batch(_) => {}
    }
}

/// Prepares to take out of a stream the usage that its client did not ask for.
pub fn begin_filter(head: &mut ResponseHeader, x: &mut Exchange) -> Result<(), Box<pingora_error::Error>> {
    x.stream_usage = None;
    if !x.adds_stream_usage || !head.status.is_success() || !may_be_stream(&head.headers) {
        return Ok(());
    }
    x.stream_usage = Some(Box::default());
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

/// What of these bytes goes to the client.
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
