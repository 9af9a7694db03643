//! The way of an answer that is made here to the client: whole, or piece by piece as it is made.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use log::debug;
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use plugin_api::{Body, BodyStream, Broken, Outcome, Reply};
use tokio::time::timeout;

use crate::exchange::ending::Part;
use crate::exchange::failure::Failure;

use super::ctx::Exchange;
use super::{response_tap, sending, transform};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The most that is written at once, in bytes.
const PIECE: usize = 64 * 1024;

/// How long a client may go on sending an unwanted body, and how long it may pause (nginx: `lingering_time`, `lingering_timeout`). An
/// earlier close would make its system drop the answer unread.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// The same for a client whose body was too slow.
const LINGER_LATE: Duration = Duration::from_secs(1);

/// Sends an answer that was made here.
///
/// # Errors
/// That the client left, or that the answer broke off: the client's connection must break too.
pub async fn send(session: &mut Session, ctx: &mut Exchange, reply: Reply) -> Result<()> {
    if session.is_process_shutting_down() {
        session.set_keepalive(None);
    }
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 2))?;
    for (name, value) in &reply.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    frame(session, &mut head, &reply.body)?;
    if !reply.headers.contains_key(REQUEST_ID) {
        head.insert_header(REQUEST_ID, ctx.record.context.id.to_string())?;
    }
    // after a panic the plugins of this exchange are left alone
    let shown = !ctx.plugins.is_empty() && ctx.failure != Some(Failure::PluginPanic);
    if shown {
        if ctx.failure != Some(Failure::Transform) {
            transform::begin(session, &mut head, ctx)?;
        }
        response_tap::show_head(session, &mut head, ctx).await?;
    }
    if ctx.failure.is_none() {
        ctx.ending.answered_here(reply.outcome);
    }
    if let Some(sent) = &reply.sent {
        sending::record(sent, ctx);
    }
    let is_of_upstream = reply.is_of_upstream();
    response_tap::begin_replay(&reply, ctx);
    ctx.record.error_type = reply.error_type.or_else(|| {
        let refused = reply.outcome == Outcome::Refused && !reply.status.is_success();
        refused.then(|| ctx.protocol().error_type(reply.status))
    });
    ctx.record.saved = reply.saved;
    ctx.record.status = Some(reply.status);
    let has_no_body = session.req_header().method == Method::HEAD
        || matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match reply.body {
        Body::Whole(mut body) => {
            let without_body = has_no_body || body.is_empty();
            let is_changed = ctx.transform.is_some() && !without_body;
            if is_changed {
                body = transform::pass_whole(&mut head, &body, ctx)?;
            }
            ctx.head_passes(session, Some(if without_body { 0 } else { body.len() as u64 }));
            session.write_response_header(Box::new(head), without_body).await.map_err(|e| e.into_down())?;
            if !without_body {
                if is_of_upstream && !is_changed {
                    response_tap::read(&body, true, ctx)?;
                }
                if shown && !is_changed {
                    response_tap::show_chunk(&body, Part::Last, ctx)?;
                }
                ctx.piece_passes(session, body.len() as u64, Part::Last);
                whole(session, body).await?;
            }
            end(session).await?;
        }
        Body::Stream(pieces) => {
            ctx.head_passes(session, has_no_body.then_some(0));
            session.write_response_header(Box::new(head), has_no_body).await.map_err(|e| e.into_down())?;
            if has_no_body {
                end(session).await?;
            } else {
                stream(session, ctx, pieces).await?;
            }
        }
    }
    Ok(())
}

/// Ends an answer whose bytes have all been written. Pingora does so only for exchanges that did not fail, and neither HTTP/2
/// nor a detached call has another sign of the end of an answer.
///
/// # Errors
/// That the client left.
pub async fn end(session: &mut Session) -> Result<()> {
    session.downstream_session.finish_body().await.map_err(|e| e.into_down())
}

/// Sends a body in pieces, so that the time that an h2 client has for each does not have to do for all.
async fn whole(session: &mut Session, mut body: Bytes) -> Result<()> {
    while !body.is_empty() {
        let piece = body.split_to(body.len().min(PIECE));
        session.write_response_body(Some(piece), false).await.map_err(|e| e.into_down())?;
    }
    Ok(())
}

fn frame(session: &mut Session, head: &mut ResponseHeader, body: &Body) -> Result<()> {
    match (body, session.req_header().version) {
        // RFC 9110 §8.6: there is no body that it could be the length of
        (Body::Whole(_), _) if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Ok(()),
        (Body::Whole(body), _) => head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len())),
        (Body::Stream(_), Version::HTTP_2) => Ok(()),
        (Body::Stream(_), Version::HTTP_10) => {
            // the end of the connection is the end of the answer
            session.set_keepalive(None);
            Ok(())
        }
        (Body::Stream(_), _) => head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    }
}

async fn stream(session: &mut Session, ctx: &mut Exchange, mut pieces: BodyStream) -> Result<()> {
    let unread = !session.downstream_session.is_body_done();
    if let Some(timeouts) = ctx.timeouts() {
        ctx.timer.streams(timeouts.idle);
    }
    loop {
        let piece = tokio::select! {
            biased; // a client that has left gets no more
            gone = session.downstream_session.read_body_or_idle(true), if !unread => {
                return Err(gone.err().unwrap_or_else(unexpected).into_down());
            }
            piece = pieces.next() => piece,
        };
        ctx.timer.progress();
        let (bytes, last) = match piece {
            Some(Ok(bytes)) => (bytes, false),
            None => (Bytes::new(), true),
            Some(Err(Broken)) => {
                debug!(id:% = ctx.record.context.id; "a replayed answer broke off");
                ctx.failure = Some(Failure::BrokenAnswer);
                return Err(Error::explain(ErrorType::ConnectionClosed, "the answer broke off").into_up());
            }
        };
        response_tap::read(&bytes, last, ctx)?;
        let part = response_tap::part(last, ctx);
        if part != Part::Some
            && let Some(answer) = pieces.saved()
        {
            ctx.observer.replace_saved(answer, &mut ctx.record);
        }
        let (bytes, part) = if ctx.transform.is_some() {
            transform::pass(&bytes, part, ctx)?
        } else {
            response_tap::show_chunk(&bytes, part, ctx)?;
            (bytes, part)
        };
        let last = last || transform::is_cut(ctx);
        ctx.piece_passes(session, bytes.len() as u64, part);
        let task = HttpTask::Body(Some(bytes), last);
        session.write_response_tasks(vec![task]).await.map_err(|e| e.into_down())?;
        if last {
            return Ok(());
        }
    }
}

fn unexpected() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "unexpected bytes")
}

/// Reads the bytes that the client still sends behind a whole answer, so that it sees the answer before the connection's end. On HTTP/2 a stream is closed without closing the connection.
pub async fn linger(session: &mut Session) {
    if session.downstream_session.as_http1().is_none() || session.downstream_session.is_body_done() {
        return;
    }
    let late = session.response_written().is_some_and(|head| head.status == StatusCode::REQUEST_TIMEOUT);
    let longest = if late { LINGER_LATE } else { LINGER };
    let drained = async {
        loop {
            match timeout(LINGER_PAUSE, session.downstream_session.read_request_body()).await {
                Ok(Ok(Some(_))) => {}
                // where chunks are malformed nobody knows where they end, though Pingora calls such a body done
                Ok(result) => return result.is_ok(),
                Err(_) => return false,
            }
        }
    };
    // a client that sends for longer is cut off
    let is_whole = timeout(longest, drained).await.unwrap_or(false);
    if !is_whole || !session.downstream_session.is_body_done() {
        session.set_keepalive(None);
    }
}
