//! The state that both sides of a WebSocket share, and how their bytes go through it.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use log::debug;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use websocket::{FrameReader, Sender};

use crate::engine::timer::Timer;
use crate::engine::transport::Transport;
use crate::exchange::failure::Failure;

use super::closure::{BROKEN, CloseHandshake, Closure, MUST_BE_READ, STOPS, random_mask};
use super::opened_unread::OpenedUnread;
use super::outbound::{Observer, Outbound};
use super::reading::{Next, Reading};
use super::stop::Stop;

/// How much of the client is read at a time where its messages are read.
const READ: usize = 8 << 10;

/// What the messages of a WebSocket are.
pub enum Messages {
    /// Calls, which are read.
    Read(Box<Reading>),
    /// Calls that nobody has to read.
    Unread(Box<OpenedUnread>),
    /// No calls.
    Other,
}

/// A WebSocket, shared by its exchange and the client's connection, which one task runs.
pub struct Socket(Mutex<State>);

struct State {
    /// The messages, where they are read.
    reading: Option<Box<Reading>>,
    /// Calls that pass unread, as long as they may.
    unread: Option<Box<OpenedUnread>>,
    /// Where the client's frames end, where its messages are not read: a close frame may stand between two frames alone, and the
    /// gateway sends one when it stops. `None` once its bytes were no frames.
    client: Option<FrameReader>,
    /// The server's frames, which are followed for the same reason.
    outbound: Outbound,
    /// The server has sent a close frame, and the client had not.
    server_left_first: bool,
    stop: Stop,
    closing: Option<CloseHandshake>,
    /// When bytes last passed.
    used: Instant,
}

impl Socket {
    /// A WebSocket with these messages.
    #[must_use]
    pub fn new(messages: Messages, stop: Stop) -> Self {
        let (reading, unread) = match messages {
            Messages::Read(reading) => (Some(reading), None),
            Messages::Unread(unread) => (None, Some(unread)),
            Messages::Other => (None, None),
        };
        Self(Mutex::new(State {
            client: reading.is_none().then(|| FrameReader::new(Sender::Client)),
            reading,
            unread,
            outbound: Outbound::new(),
            server_left_first: false,
            stop,
            closing: None,
            used: Instant::now(),
        }))
    }

    /// Reads what may go upstream. All that has been handed to the connection to write has been written when this is called.
    pub fn poll_read(
        &self,
        stream: &mut Transport,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let state = &mut *state;
        loop {
            if let Some(reading) = &mut state.reading {
                reading.delivered();
            }
            state.outbound.place_queued();
            if let Poll::Ready(written) = poll_outbox(&mut state.outbound, stream, cx) {
                written?;
            }
            if state.hand_out(buf) || state.is_over(cx) {
                return Poll::Ready(Ok(()));
            }
            if state.poll_stop(cx) || state.close_unread() {
                continue;
            }
            let Some(reading) = &mut state.reading else {
                let before = buf.filled().len();
                ready!(stream.poll_read(cx, buf, usize::MAX))?;
                Timer::client_sent();
                state.used = Instant::now();
                if state.closing.is_some() && buf.filled().len() > before {
                    // nothing goes upstream behind a close frame
                    buf.set_filled(before);
                    continue;
                }
                return Poll::Ready(Ok(()));
            };
            match reading.step(&mut state.outbound, cx) {
                Next::Go => {}
                Next::Wait if state.hand_out(buf) => return Poll::Ready(Ok(())),
                Next::Wait => return Poll::Pending,
                Next::Close(why) => state.close(why),
                Next::Read => {
                    if state.hand_out(buf) || state.is_over(cx) {
                        return Poll::Ready(Ok(()));
                    }
                    let mut room = [const { MaybeUninit::uninit() }; READ];
                    let mut room = ReadBuf::uninit(&mut room);
                    let read = stream.poll_read(cx, &mut room, usize::MAX);
                    let Some(reading) = &mut state.reading else { continue };
                    // whether it is late is asked when all is read that has come, which may have waited for a server to take more
                    if read.is_pending() {
                        let Next::Close(why) = reading.wait(&mut state.outbound, cx) else { return Poll::Pending };
                        state.close(why);
                        continue;
                    }
                    ready!(read)?;
                    if room.filled().is_empty() {
                        reading.inbound.has_left = true;
                        return Poll::Ready(Ok(()));
                    }
                    Timer::client_sent();
                    reading.came(room.filled());
                }
            }
        }
    }

    /// Writes what is on its way to the client before anything else may follow.
    pub fn poll_flush(&self, stream: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_outbox(&mut self.state().outbound, stream, cx)
    }

    /// Bytes of the client are about to go upstream.
    pub fn forward(&self, bytes: Bytes) -> Bytes {
        let mut state = self.state();
        if let Some(reading) = &mut state.reading {
            return reading.inbound.passes(bytes);
        }
        let mut rest = &bytes[..];
        if let Some(client) = &mut state.client {
            while let Some(read) = client.next(&mut rest).transpose() {
                if read.is_err() {
                    state.client = None;
                    break;
                }
            }
        }
        bytes
    }

    /// Bytes of the server are about to go to the client: what goes in their place.
    pub fn pass(&self, bytes: Bytes) -> Bytes {
        let mut state = self.state();
        let State { reading, outbound, server_left_first, used, .. } = &mut *state;
        let passed = match reading {
            Some(reading) => {
                let passed = reading.pass(bytes, outbound);
                *server_left_first |= outbound.has_left && !reading.inbound.has_left;
                passed
            }
            None => {
                *used = Instant::now();
                // bytes that are no frames are none of the gateway's business where nobody reads them
                return outbound.pass(bytes.clone(), &mut NoObserver).unwrap_or(bytes);
            }
        };
        match passed {
            Ok(bytes) => bytes,
            Err((whole, error)) => {
                debug!(error:%; "a server broke the WebSocket protocol");
                let frame = state.outbound.close_broken(BROKEN.code, BROKEN.reason);
                state.close(BROKEN);
                [&whole[..], &frame].concat().into()
            }
        }
    }

    /// The connection is over, by this failure if by one. The calls that are open end with it.
    pub fn conclude(&self, failure: Option<Failure>) {
        let mut state = self.state();
        let closed = state.closing.as_ref().map(|closing| closing.why.failure);
        let server_left_first = state.server_left_first;
        let Some(reading) = &mut state.reading else { return };
        let why = match (closed, failure) {
            (Some(closed), _) => closed,
            // the client's close frame, and the end of its connection, only answer the server's
            _ if server_left_first => Failure::BrokenAnswer,
            (None, Some(Failure::UpgradedTimeout)) => Failure::IdleTimeout,
            (None, Some(failure)) => failure,
            (None, None) if reading.inbound.has_left => Failure::ClientGone,
            (None, None) => Failure::BrokenAnswer,
        };
        reading.conclude(why, failure == Some(Failure::ClientGone));
    }

    /// Why the gateway has closed the connection, if it has.
    #[must_use]
    pub fn closed_by(&self) -> Option<Failure> {
        self.state().closing.as_ref().map(|closing| closing.why.failure)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, why: Closure) {
        if self.closing.is_some() {
            return;
        }
        self.outbound.close(why.code, why.reason);
        let closing = self.closing.insert(CloseHandshake::new(why));
        match &mut self.reading {
            Some(reading) => reading.inbound.close(random_mask(), why.code, why.reason),
            None if self.client.as_ref().is_some_and(FrameReader::is_between_frames) => closing.queue_close_frame(),
            None => {}
        }
    }

    /// Closes the connection once the gateway stops and no call is open; whether it has done so now.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let is_idle = self.reading.as_ref().map(|reading| reading.is_idle());
        let closes = self.closing.is_none() && self.stop.poll(is_idle, self.used, cx);
        if closes {
            self.close(STOPS);
        }
        closes
    }

    /// Closes a connection that passes unread once its messages have to be read; whether it has done so now.
    fn close_unread(&mut self) -> bool {
        let closes = self.closing.is_none() && self.unread.as_mut().is_some_and(|unread| unread.must_be_read());
        if closes {
            self.close(MUST_BE_READ);
        }
        closes
    }

    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if let Some(reading) = &mut self.reading {
            return reading.inbound.hand_out(buf);
        }
        self.closing.as_mut().is_some_and(|closing| closing.hand_out(buf))
    }

    /// Whether both sides have been closed: the client has answered, or had its time to.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(closing) = &mut self.closing else { return false };
        let has_left = self.reading.as_ref().is_some_and(|reading| reading.inbound.has_left);
        has_left && self.outbound.is_flushed() || closing.has_timed_out(cx)
    }
}

/// Writes frames of the gateway's own.
fn poll_outbox(outbound: &mut Outbound, stream: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let outbox = outbound.outbox();
    if outbox.is_empty() {
        return Poll::Ready(Ok(()));
    }
    while !outbox.is_empty() {
        let count = ready!(stream.poll_write(cx, outbox))?;
        outbox.drain(..count);
    }
    stream.poll_flush(cx)
}

/// Messages that nobody reads.
struct NoObserver;

impl Observer for NoObserver {
    fn payload(&mut self, _: Bytes) {}
    fn end(&mut self) {}
}
