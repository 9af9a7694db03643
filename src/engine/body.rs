//! Reads a request's whole body before its server is chosen, and leaves the session in the one state in which Pingora
//! sends it again on every attempt.
//!
//! Stock Pingora keeps at most 64 KiB of a body that was read early, and sends nothing at all if it was longer. Its
//! body filter is called exactly once per attempt, with the end of the body, if the body has been read to its end and
//! the retry buffer holds something and is not truncated. So that state is brought about here, and the filter puts the
//! real body in the place of what the buffer holds.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use plugin_api::{BODIES, Charge, Shortage};

/// The size of the buffer in which Pingora keeps a body for another attempt, in bytes.
const RETRY_BUFFER: usize = 64 * 1024;
/// The first capacity for a body of unknown length, and for one of a known, larger length.
const FIRST_ROOM: usize = 8 * 1024;
const FIRST_ROOM_OF_KNOWN: usize = 64 * 1024;

/// The result of reading.
pub enum Read {
    /// The whole body.
    Whole(Bytes),
    /// It is longer than allowed; the rest was not read.
    TooLarge,
    /// There is no memory left for it; the rest was not read.
    NoRoom(Shortage),
}

/// Whether the body, by its `content-length`, fits into Pingora's retry buffer.
#[must_use]
pub fn is_small(session: &Session) -> bool {
    length(session).is_some_and(|length| (1..=RETRY_BUFFER).contains(&length))
}

/// The length of the body, if its head says it.
#[must_use]
pub fn length(session: &Session) -> Option<usize> {
    session.req_header().headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the body up to `max` bytes. The caller keeps the time. The bytes are charged to the budget for bodies for as long as
/// any of them is there.
///
/// What is charged is the room made for them, which grows as they come, 32-fold where they say how long they are and
/// twofold where they do not: a length that is only claimed takes none of it, so that nobody can lock others out by claims. Nobody waits for room either, so bodies that got half way cannot block each
/// other: one of them is refused, and the others have what it held.
///
/// # Errors
/// The client's connection failed; the source is always downstream.
pub async fn read(session: &mut Session, max: usize) -> Result<Read> {
    let length = length(session);
    if length.is_some_and(|length| length > max) {
        return Ok(Read::TooLarge);
    }
    if length.is_some_and(|length| !BODIES.could_hold(length)) {
        return Ok(Read::NoRoom(Shortage::Never));
    }
    invite(session).await?;
    let (mut body, mut charge) = (Vec::new(), BODIES.charge());
    while let Some(piece) = next(session, length, body.len()).await? {
        if piece.len() > max - body.len() {
            return Ok(Read::TooLarge);
        }
        if let Err(shortage) = make_room(&mut body, piece.len(), length, max, &mut charge) {
            return Ok(Read::NoRoom(shortage));
        }
        body.extend_from_slice(&piece);
    }
    if session.retry_buffer_truncated() {
        rewind(session).await?;
    }
    Ok(Read::Whole(charge.on(body.into())))
}

/// Makes room for a piece. The capacity is multiplied, up to the largest size of the whole. The factor is large where the length is known,
/// since each step copies the body and holds it twice meanwhile.
fn make_room(
    body: &mut Vec<u8>,
    piece: usize,
    length: Option<usize>,
    max: usize,
    charge: &mut Charge,
) -> Result<(), Shortage> {
    let needed = body.len() + piece;
    let before = body.capacity();
    if needed <= before {
        return Ok(());
    }
    let (first, growth) = if length.is_some() { (FIRST_ROOM_OF_KNOWN, 32) } else { (FIRST_ROOM, 2) };
    let room = before.saturating_mul(growth).max(first).min(length.unwrap_or(max)).max(needed);
    charge.grow_to(room)?;
    body.reserve_exact(room - body.len());
    charge.settle(body.capacity());
    Ok(())
}

/// Answers `Expect: 100-continue` (RFC 9110 §10.1.1), for which the client waits before it sends its body.
///
/// # Errors
/// That the client is gone.
pub async fn invite(session: &mut Session) -> Result<()> {
    let expect = session.req_header().headers.get(EXPECT);
    if expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        session.write_continue_response().await.map_err(|e| e.into_down())?;
    }
    Ok(())
}

/// The most that Pingora keeps of a body that is not read here, in bytes.
#[must_use]
pub fn kept_of_stream(session: &mut Session) -> usize {
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH).map(|length| length.to_str().ok().and_then(|length| length.parse().ok()));
    let kept = match length {
        Some(length) => length.unwrap_or(RETRY_BUFFER).min(RETRY_BUFFER),
        None if session.downstream_session.is_body_done() => 0,
        None => RETRY_BUFFER,
    };
    // no more than a connection has anyway
    if kept > FIRST_ROOM { kept } else { 0 }
}

async fn next(session: &mut Session, length: Option<usize>, read: usize) -> Result<Option<Bytes>> {
    // of a known length only the tail is buffered, which always fits; of an unknown one the beginning
    if length.is_none_or(|length| length - read.min(length) <= RETRY_BUFFER) {
        session.enable_retry_buffering();
    }
    match &mut *session.downstream_session {
        // without a length, frames behind the first are read past the retry buffer, so that it is never truncated
        ServerSession::H2(h2) if length.is_none() && read > 0 => {
            let piece = poll_fn(|cx| h2.poll_read_body_bytes(cx)).await.transpose();
            piece.map_err(|e| Error::because(ErrorType::ReadError, "while reading an h2 body", e).into_down())
        }
        session => session.read_request_body().await.map_err(|e| e.into_down()),
    }
}

/// Brings a session whose retry buffer was truncated (HTTP/1.1, chunked, longer than the buffer) back to the wanted
/// state: it reads a request of one byte from nowhere, which resets its body reader and its retry buffer.
async fn rewind(session: &mut Session) -> Result<()> {
    const ONE_BYTE: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
    let head = session.req_header().clone();
    session.set_pipelined_prefix(BytesMut::from(ONE_BYTE));
    session.downstream_session.read_request().await.map_err(|e| e.into_down())?;
    session.enable_retry_buffering();
    while session.read_request_body().await.map_err(|e| e.into_down())?.is_some() {}
    // only now: the reader was set up from the head of that one byte
    *session.req_header_mut() = head;
    // bytes behind the real body are lost with it, so the connection cannot be used again
    session.set_keepalive(None);
    Ok(())
}
