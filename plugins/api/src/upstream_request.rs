//! A request of a plugin's own to an upstream, and what comes back. Sends nothing itself.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, Method, StatusCode};

use crate::{AttemptLog, BODIES, SendError, UpstreamAddrs};

/// The step in which a body that is collected is charged, in bytes.
const STEP: usize = 64 << 10;

/// A request of a plugin's own, which [`Upstreams::send`](crate::Upstreams::send) sends.
#[derive(Clone, Debug)]
pub struct UpstreamRequest {
    /// The upstream, by its name in the YAML.
    pub upstream: Arc<str>,
    /// The method.
    pub method: Method,
    /// The path and the query: `/v1/files?purpose=batch`.
    pub target: String,
    /// The headers that pass from end to end. The gateway sets `content-length` and, where the upstream says so, `host`; the upstream's
    /// own `headers`, such as its credential, take the place of those here.
    pub headers: HeaderMap,
    /// The body. It is charged to [`BODIES`] for as long as the request runs.
    pub body: Bytes,
    /// Limits in place of the upstream's own.
    pub limits: SendLimits,
    /// Whether it is sent once: to no other server after one that may have processed it, whatever `retry` says, and to no fallback.
    pub once: bool,
}

/// Limits of a request, each in place of the upstream's own, where it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendLimits {
    /// For a connection, TLS included.
    pub connect: Option<Duration>,
    /// From the end of the request to the head of the response.
    pub first_byte: Option<Duration>,
    /// For the next byte of the response.
    pub idle: Option<Duration>,
    /// For the request and its response as a whole.
    pub total: Option<Duration>,
}

/// What an upstream answered, whatever its status. Dropping its body ends the request.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of the connection.
    pub headers: HeaderMap,
    /// The body, which comes as it is read.
    pub body: UpstreamBody,
    /// Where the request went.
    pub sent: Box<SentTo>,
}

/// Where a request went, for records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentTo {
    /// The upstream's name in the YAML; that of a fallback, if one took the request.
    pub upstream: Arc<str>,
    /// The server of the last attempt, as the YAML writes its address.
    pub server: Option<Arc<str>>,
    /// Where the attempts went.
    pub addresses: UpstreamAddrs,
    /// How many there were.
    pub attempts: u32,
    /// Each of them, with times from `began` on.
    pub attempt_log: AttemptLog,
    /// When the request began.
    pub began: Instant,
    /// The name that a fallback gave the model.
    pub model: Option<String>,
    /// The failure, in the word of the ledger; `None` where the upstream answered.
    pub error: Option<&'static str>,
}

impl SentTo {
    /// A request to this upstream of which no attempt was made.
    #[must_use]
    pub fn nowhere(upstream: Arc<str>) -> Self {
        Self {
            upstream,
            server: None,
            addresses: UpstreamAddrs::NONE,
            attempts: 0,
            attempt_log: AttemptLog::NONE,
            began: Instant::now(),
            model: None,
            error: None,
        }
    }
}

/// The body of an upstream's response, piece by piece. A piece is read only once the one before has been taken.
pub struct UpstreamBody(Pin<Box<dyn Stream<Item = Result<Bytes, SendError>> + Send>>);

impl UpstreamBody {
    /// A body of these pieces.
    #[must_use]
    pub fn new(pieces: impl Stream<Item = Result<Bytes, SendError>> + Send + 'static) -> Self {
        Self(Box::pin(pieces))
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The body broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SendError> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await.transpose()
    }

    /// All of it, charged to [`BODIES`] for as long as the bytes are there.
    ///
    /// # Errors
    /// It broke off, is longer than `max` bytes, or there is no memory for it.
    pub async fn whole(mut self, max: usize) -> Result<Bytes, SendError> {
        let (mut whole, mut charge) = (BytesMut::new(), BODIES.charge());
        while let Some(piece) = self.next().await? {
            let length = whole.len() + piece.len();
            if length > max {
                return Err(SendError::TooLarge);
            }
            charge.cover(length, STEP).map_err(|_| SendError::NoMemory)?;
            whole.extend_from_slice(&piece);
        }
        charge.settle(whole.len());
        Ok(charge.on(whole.freeze()))
    }
}

impl Stream for UpstreamBody {
    type Item = Result<Bytes, SendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamBody")
    }
}
