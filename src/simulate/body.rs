//! The body of an answer: a whole, or a stream at the pace of its tokens; to its end, or broken off half-way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::sse::Script;
use super::tally::InFlight;

/// Where a frame of a stream without gaps ends; events are not cut.
const FRAME: usize = 16 * 1024;

/// The body of an answer.
pub(super) struct AnswerBody {
    content: Content,
    end: End,
    /// Present while the answer counts as in flight.
    in_flight: Option<InFlight>,
}

enum Content {
    Whole(Bytes),
    /// The first part of a body whose head promises more.
    Part {
        bytes: Bytes,
        promised: u64,
    },
    Stream(Box<Stream>),
}

/// What comes after the content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    /// Break, but let what was said leave first.
    FlushThenBreak,
    Break,
}

impl AnswerBody {
    /// A body that ends where it should.
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self { content: Content::Whole(bytes.into()), end: End::Clean, in_flight: None }
    }

    /// A body whose head promises all of `bytes` and whose connection breaks after half of them.
    pub(super) fn half(mut bytes: Vec<u8>) -> Self {
        let promised = bytes.len() as u64;
        bytes.truncate(bytes.len() / 2);
        Self { content: Content::Part { bytes: bytes.into(), promised }, end: End::FlushThenBreak, in_flight: None }
    }

    /// A stream with `gap` between its tokens.
    pub(super) fn stream(script: Script, gap: Duration) -> Self {
        Self { content: Content::Stream(Box::new(Stream::new(script, gap))), end: End::Clean, in_flight: None }
    }

    /// A stream whose connection breaks after half of its tokens.
    pub(super) fn half_stream(mut script: Script, gap: Duration) -> Self {
        script.tokens /= 2;
        script.tail.clear();
        Self { end: End::FlushThenBreak, ..Self::stream(script, gap) }
    }

    /// Keeps the call in flight until the body has ended or is dropped.
    pub(super) fn watched_by(self, in_flight: InFlight) -> Self {
        Self { in_flight: Some(in_flight), ..self }
    }

    fn is_spent(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) | Content::Part { bytes, .. } => bytes.is_empty(),
            Content::Stream(stream) => stream.is_spent(),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if !this.is_spent() {
            let bytes = match &mut this.content {
                Content::Whole(bytes) | Content::Part { bytes, .. } => std::mem::take(bytes),
                Content::Stream(stream) => ready!(stream.poll_events(cx)),
            };
            if this.is_end_stream()
                && let Some(call) = this.in_flight.take()
            {
                call.complete();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match this.end {
            End::Clean => Poll::Ready(None),
            End::FlushThenBreak => {
                // hyper sends what it has when a body is not ready, and throws it away when a body fails.
                this.end = End::Break;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::Break => {
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "broken off on purpose"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Clean && self.is_spent()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Part { promised, .. } => SizeHint::with_exact(*promised),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

/// A stream under way.
struct Stream {
    script: Script,
    /// The token that comes next.
    next: u64,
    gap: Duration,
    /// Set while there is a gap to wait for.
    timer: Option<Pin<Box<Sleep>>>,
    spent: bool,
}

impl Stream {
    fn new(script: Script, gap: Duration) -> Self {
        Self { script, next: 0, gap, timer: None, spent: false }
    }

    fn is_spent(&self) -> bool {
        self.spent
    }

    /// The events that are due. The head comes with the first token, the tail with the last.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
        }
        let mut events = std::mem::take(&mut self.script.head);
        while self.next < self.script.tokens {
            (self.script.token)(&mut events, self.next);
            self.next += 1;
            if !self.gap.is_zero() || events.len() >= FRAME {
                break;
            }
        }
        if self.next == self.script.tokens {
            events.append(&mut self.script.tail);
            self.spent = true;
        } else if !self.gap.is_zero() {
            self.wait();
        }
        Poll::Ready(events.into())
    }

    /// Starts the next gap where the last one ended, so that the pace holds however late a timer fires.
    fn wait(&mut self) {
        match &mut self.timer {
            None => self.timer = Some(Box::pin(sleep(self.gap))),
            Some(timer) => {
                let due = timer.deadline().checked_add(self.gap).unwrap_or_else(|| Instant::now() + FAR);
                timer.as_mut().reset(due);
            }
        }
    }
}

/// A day: instead of a moment that the clock cannot express.
const FAR: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::super::batches::Batches;
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::super::tally::Tally;
    use super::*;

    fn script(tokens: u64) -> Script {
        let token = Box::new(|out: &mut Vec<u8>, index| out.extend_from_slice(format!("{index},").as_bytes()));
        Script { head: b"head,".to_vec(), token, tokens, tail: b"tail".to_vec() }
    }

    #[tokio::test]
    async fn a_stream_without_gaps_is_one_frame() {
        let mut body = AnswerBody::stream(script(3), Duration::ZERO);
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, "head,0,1,2,tail");
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn a_long_stream_is_made_a_frame_at_a_time() {
        let mut body = AnswerBody::stream(script(100_000), Duration::ZERO);
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap().into_data().unwrap();
            assert!(frame.len() < FRAME + 64);
            whole.extend_from_slice(&frame);
        }
        assert!(whole.ends_with(b"99999,tail"));
    }

    #[tokio::test]
    async fn every_token_is_a_frame_of_its_own_when_there_is_a_gap() {
        let started = Instant::now();
        let mut body = AnswerBody::stream(script(3), Duration::from_millis(20));
        for (expected, earliest) in [("head,0,", 0), ("1,", 20), ("2,tail", 40)] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
            assert!(started.elapsed() >= Duration::from_millis(earliest), "{expected}");
        }
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn half_a_body_promises_the_whole_and_then_fails() {
        let mut body = AnswerBody::half(b"12345678".to_vec());
        assert_eq!(body.size_hint().exact(), Some(8));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1234");
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn half_a_stream_has_no_tail() {
        let mut body = AnswerBody::half_stream(script(4), Duration::ZERO);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "head,0,1,");
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn only_a_body_that_was_read_to_its_end_completes_the_call() {
        let tally = Arc::new(Tally::default());
        let mut read = AnswerBody::stream(script(1), Duration::ZERO).watched_by(tally.begin().1);
        read.frame().await.unwrap().unwrap();
        let left = AnswerBody::stream(script(1), Duration::ZERO).watched_by(tally.begin().1);
        drop(left);
        let counts = serde_json::to_value(tally.counts(Batches::default().stats())).unwrap();
        for (count, expected) in [("calls", 2), ("in_flight", 0), ("completed", 1), ("broken_off", 1)] {
            assert_eq!(counts[count], expected, "{count}: {counts}");
        }
    }
}
