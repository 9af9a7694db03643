//! A client that takes nothing of what is written to it: how long that may last.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use super::timer::Timer;

/// The time since a client last took anything, while there is something for it.
#[derive(Default)]
pub struct Stall(Option<Pin<Box<Sleep>>>);

impl Stall {
    /// What came of writing. A client that takes nothing for as long as its timer allows is as good as gone:
    /// every write fails from then on that it does not take.
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
            // whoever writes without a timer, as TLS does in its handshake, has a limit of its own
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
