//! The body of an answer that is made here: there as a whole, or still to come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use crate::Answer;

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// What is still to come, piece by piece; its length is not known.
    Stream(BodyStream),
}

impl Body {
    /// All of it, where it is there.
    #[must_use]
    pub fn whole(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Stream(_) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

/// A body that is still to come.
pub struct BodyStream {
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>,
    saved: Option<Box<dyn FnOnce() -> Option<Answer> + Send>>,
}

/// A body broke off. The client's connection breaks too: nothing may look like a whole answer that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl BodyStream {
    /// A body of these pieces.
    #[must_use]
    pub fn new(pieces: impl Stream<Item = Result<Bytes, Broken>> + Send + 'static) -> Self {
        Self { pieces: Box::pin(pieces), saved: None }
    }

    /// The same, with facts that its bytes do not carry, such as usage. Asked for at its clean end.
    #[must_use]
    pub fn with_saved(mut self, saved: impl FnOnce() -> Option<Answer> + Send + 'static) -> Self {
        self.saved = Some(Box::new(saved));
        self
    }

    /// What is known of it, once it has ended well; `None` where only its bytes tell.
    #[must_use]
    pub fn saved(&mut self) -> Option<Answer> {
        self.saved.take()?()
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyStream")
    }
}
