//! A call on an HTTP/1.1 connection that goes on if its client leaves. The connection hides from Pingora that the client has left: it closes the
//! socket, and takes what is written to it. A client that is too slow for others that share the answer is let go in the same way.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use plugin_api::{BODIES, Charge};
use tokio::io::ReadBuf;

use crate::exchange::presence::Presence;

use super::super::relay::is_too_far_ahead;
use super::super::timer::Timer;
use super::super::transport::Transport;
use super::Connection;

/// A signal of the plugin that wants the call to go on.
pub type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The call, as its connection sees it.
pub struct Outliving {
    presence: Arc<Presence>,
    /// Completes when the answer is unwanted; gone once it has.
    unwanted: Option<Signal>,
    /// Completes when others share the answer; gone once it has.
    shared: Option<Signal>,
    /// Bytes that a slow client has not accepted.
    ahead: VecDeque<u8>,
    held: Charge,
}

impl Outliving {
    /// A call that goes on until its answer is unwanted.
    #[must_use]
    pub fn new(presence: Arc<Presence>, unwanted: Signal, shared: Signal) -> Self {
        Self { presence, unwanted: Some(unwanted), shared: Some(shared), ahead: VecDeque::new(), held: BODIES.charge() }
    }

    /// Whether bytes wait here for the client.
    pub fn holds(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Takes over the bytes that wait for the client since an earlier call.
    pub fn follow(&mut self, earlier: Self) {
        (self.ahead, self.held) = (earlier.ahead, earlier.held);
    }

    /// The call is over.
    pub fn end(&mut self) {
        self.unwanted = None;
    }

    /// The client has left: nothing waits for it any more. So many bytes below had not been sent.
    pub fn client_left(&mut self, unsent: usize) {
        self.presence.leave();
        self.presence.withhold(self.ahead.len() + unsent);
        (self.ahead, self.held) = (VecDeque::new(), BODIES.charge());
    }

    /// Waits until the answer is unwanted.
    pub fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(unwanted) = &mut self.unwanted {
            ready!(unwanted.as_mut().poll(cx));
            self.unwanted = None;
        }
        Poll::Ready(())
    }

    /// Whether the upstream must not wait for the client: others share the answer, and more of it is to come.
    pub fn must_not_wait(&mut self, cx: &mut Context<'_>) -> bool {
        if self.shared.as_mut().is_some_and(|shared| shared.as_mut().poll(cx).is_ready()) {
            self.shared = None;
        }
        self.shared.is_none() && !self.presence.is_ending()
    }

    /// Takes what is written for a client that has left. An error ends the call, once its answer is unwanted.
    pub fn discard(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // behind a request that was sent ahead, nothing is read that would see it
        if self.poll_unwanted(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = length(bufs);
        self.presence.withhold(bytes);
        Poll::Ready(Ok(bytes))
    }

    /// Keeps what a slow client does not accept. `None` if the client is too slow.
    pub fn keep(&mut self, bufs: &[IoSlice<'_>]) -> Option<usize> {
        let bytes = length(bufs);
        if is_too_far_ahead(self.ahead.len() + bytes, &mut self.held) {
            return None;
        }
        // a queue accepts all
        bufs.iter().for_each(|buf| drop(self.ahead.write_all(buf)));
        Some(bytes)
    }

    /// Sends what waits here. Pending while some of it does.
    pub fn poll_send(&mut self, stream: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ahead.is_empty() {
            let written = ready!(stream.poll_write(cx, self.ahead.as_slices().0))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.ahead.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl Connection {
    /// Its call goes on without its client from now on.
    pub fn outlive(&self, mut call: Box<Outliving>) {
        let mut outliving = self.outliving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = outliving.take() {
            call.follow(*earlier);
        }
        *outliving = Some(call);
    }

    /// The call is over that could go on without its client.
    pub fn call_over(&self) {
        let mut outliving = self.outliving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = outliving.as_mut() {
            call.end();
        }
        // what waits for a slow client is sent behind the call
        outliving.take_if(|call| !call.holds());
    }

    fn outliving(&mut self) -> &mut Option<Box<Outliving>> {
        self.outliving.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client has left, or is let go: the socket is closed, and only the call goes on.
    pub(super) fn let_go(&mut self, call: &mut Outliving, cx: &mut Context<'_>) {
        call.client_left(self.stream.unsent());
        self.stream = Transport::Left;
        self.permits.release();
        // nobody is waited for any more
        let _ = self.stall.bound(cx, Poll::Ready(Ok(())));
    }

    /// Runs a step of the call that goes on without its client; `None` if there is no such call.
    pub(super) fn with_outliving<T>(&mut self, step: impl FnOnce(&mut Self, &mut Outliving) -> T) -> Option<T> {
        let mut call = self.outliving().take()?;
        let done = step(self, &mut call);
        *self.outliving() = Some(call);
        Some(done)
    }

    /// Reads for a client that has left: the end shows once nobody wants the answer any more.
    pub(super) fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_outliving(|_, call| call.poll_unwanted(cx)).unwrap_or(Poll::Ready(()))
    }

    /// Whether the client has closed its side, as far as the runtime knows: then what is written now would not reach it. Asks the system only
    /// if something has come.
    fn has_ended(&self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let peeked = self.stream.socket().map(|socket| socket.poll_peek(cx, &mut ReadBuf::new(&mut byte)));
        matches!(peeked, Some(Poll::Ready(Ok(0) | Err(_))))
    }

    /// Writes for such a call.
    pub(super) fn poll_write_outliving(
        &mut self,
        call: &mut Outliving,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.stream.is_left() && self.has_ended(cx) && !Timer::client_left() {
            self.let_go(call, cx);
        }
        if self.stream.is_left() {
            return call.discard(cx, bufs);
        }
        call.presence.set_flushed(false);
        let written = match call.poll_send(&mut self.stream, cx) {
            Poll::Ready(Ok(())) => self.stream.poll_write_vectored(cx, bufs),
            unsent => unsent.map_ok(|()| 0),
        };
        match self.stall.bound(cx, written) {
            Poll::Pending if call.must_not_wait(cx) => {
                if let Some(kept) = call.keep(bufs) {
                    return Poll::Ready(Ok(kept));
                }
            }
            Poll::Ready(Err(_)) => {}
            written => return written,
        }
        self.let_go(call, cx);
        call.discard(cx, bufs)
    }

    /// Sends what is buffered for such a call.
    pub(super) fn poll_flush_outliving(&mut self, call: &mut Outliving, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stream.is_left() {
            return Poll::Ready(Ok(()));
        }
        let flushed = match call.poll_send(&mut self.stream, cx) {
            Poll::Ready(Ok(())) => self.stream.poll_flush(cx),
            unsent => unsent,
        };
        match self.stall.bound(cx, flushed) {
            // it is sent while the call's next bytes are awaited
            Poll::Pending if call.must_not_wait(cx) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => {
                self.let_go(call, cx);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                call.presence.set_flushed(true);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl fmt::Debug for Outliving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outliving").field("presence", &self.presence).finish_non_exhaustive()
    }
}

fn length(bufs: &[IoSlice<'_>]) -> usize {
    bufs.iter().map(|buf| buf.len()).sum()
}
