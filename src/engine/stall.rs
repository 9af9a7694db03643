//! How long a client may accept none of the bytes that are written to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use super::timer::Timer;

/// The time since a client last accepted bytes, while there are some for it.
#[derive(Default)]
pub struct Stall(Option<Pin<Box<Sleep>>>);

impl Stall {
    /// Passes the result of a write on. Once the client has accepted no bytes for as long as its timer allows, every write fails that it
    /// does not accept at once.
    pub fn bound<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.0.take().is_some()
                && let Some(timer) = Timer::current()
            {
                timer.client_takes();
            }
            return written;
        }
        let limit = match &mut self.0 {
            Some(limit) => limit,
            // a writer without a timer, such as the TLS handshake, has a limit of its own
            none => match Timer::current() {
                Some(timer) => none.insert(Box::pin(sleep(timer.client_stalls()))),
                None => return Poll::Pending,
            },
        };
        if !limit.is_elapsed() {
            ready!(limit.as_mut().poll(cx));
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}
