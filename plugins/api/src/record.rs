//! The record of an exchange, which plugins get just before the last byte is written, and again when it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use uuid::Uuid;

use crate::{Answer, AttemptLog, Context, ConversationHash, Endpoint, Transport, UpstreamAddrs};

/// Bytes of an answer for each of its tokens, where nothing else is known of it: of a stream of events, and of others.
const BYTES_PER_TOKEN: (u64, u64) = (64, 4);

/// One exchange, from its first byte to its last. A figure that is not known is `None`, never 0. Texts of clients and upstreams
/// are [`shortened`](crate::shortened).
#[derive(Debug)]
pub struct Record {
    /// The context that the hooks saw: id, route, client, principal, tags.
    pub context: Context,
    /// When its head had been read.
    pub started: SystemTime,
    /// How it came.
    pub transport: Transport,
    /// The method.
    pub method: Method,
    /// The path, without the query (which may hold secrets).
    pub path: String,
    /// The host asked for, as the client wrote it, without the port.
    pub host: String,
    /// The endpoint, where it was a call to a model.
    pub endpoint: Option<Endpoint>,
    /// The model asked for, where the body was read and named one.
    pub model: Option<String>,
    /// The model that the upstream was asked for, where the route's `models` or a fallback gave the call another name than the
    /// client's.
    pub upstream_model: Option<String>,
    /// Whether a stream was asked for, where the body was read.
    pub streaming: Option<bool>,
    /// Whether the body was read, for a plugin or for the upstream.
    pub body_read: bool,
    /// The blocks of the system prompt, where the body was read and is one call; see
    /// [`CallFacts::system_blocks`](crate::CallFacts::system_blocks).
    pub system_blocks: Option<usize>,
    /// Whether the body was read and asks for nothing but a quota; see [`CallFacts::asks_quota`](crate::CallFacts::asks_quota).
    pub asks_quota: bool,
    /// Its place in a conversation, where a plugin [needs it](crate::Needs::conversation).
    pub conversation: Option<ConversationHash>,
    /// The upstream's name in the YAML.
    pub upstream: Option<Arc<str>>,
    /// The server of the last attempt, as the YAML writes its address.
    pub server: Option<Arc<str>>,
    /// Where the attempts went.
    pub upstream_addrs: UpstreamAddrs,
    /// Attempts made upstream; 0 where none was.
    pub attempts: u32,
    /// Each of them, where there was more than one or spans are made of them.
    pub attempt_log: AttemptLog,
    /// The status sent to the client; `None` where nothing was sent.
    pub status: Option<StatusCode>,
    /// How it ended.
    pub outcome: Outcome,
    /// The failure, in a word (`connect`, `first_byte_timeout`, …); `None` where nothing failed.
    pub error: Option<&'static str>,
    /// The plugin that refused the request, or whose panic ended it; `None` where none did.
    pub plugin: Option<&'static str>,
    /// The reason of that refusal, in a word of the plugin; see [`Refusal`](crate::Refusal).
    pub reason: Option<&'static str>,
    /// The type in the error object sent to the client; `None` where the gateway made none.
    pub error_type: Option<&'static str>,
    /// Bytes of the request's body read from the client.
    pub request_bytes: u64,
    /// Bytes of the response's body passed to the client.
    pub response_bytes: u64,
    /// From the head of the request to the head of the upstream's response.
    pub first_byte: Option<Duration>,
    /// From the head of the request to the first piece of a stream that carries content, where a plugin
    /// [needs answers](crate::Needs::answer).
    pub first_token: Option<Duration>,
    /// What was read of the upstream's answer: its state, its model, its usage by class of tokens. Only where a plugin
    /// [needs answers](crate::Needs::answer).
    pub answer: Option<Box<Answer>>,
    /// What was read of an answer that a plugin gave in the upstream's place, such as a cached one. Its usage is not billed again.
    pub saved: Option<Box<Answer>>,
    /// The upstream's own id of the exchange (`request-id`, `x-request-id`).
    pub upstream_request_id: Option<String>,
    /// From the head of the request to the end.
    pub total: Duration,
    /// What the answer cost, once a plugin has found that out.
    pub cost: KnownCost,
}

impl Record {
    /// The record of an exchange that has just begun. Until more is known, its outcome is [`Outcome::Aborted`].
    #[must_use]
    pub fn begun(id: Uuid, started: SystemTime) -> Self {
        Self {
            context: Context::new(id),
            started,
            transport: Transport::default(),
            method: Method::GET,
            path: String::new(),
            host: String::new(),
            endpoint: None,
            model: None,
            upstream_model: None,
            streaming: None,
            body_read: false,
            system_blocks: None,
            asks_quota: false,
            conversation: None,
            upstream: None,
            server: None,
            upstream_addrs: UpstreamAddrs::NONE,
            attempts: 0,
            attempt_log: AttemptLog::NONE,
            status: None,
            outcome: Outcome::Aborted,
            error: None,
            plugin: None,
            reason: None,
            error_type: None,
            request_bytes: 0,
            response_bytes: 0,
            first_byte: None,
            first_token: None,
            answer: None,
            saved: None,
            upstream_request_id: None,
            total: Duration::ZERO,
            cost: KnownCost::default(),
        }
    }

    /// The model that the upstream was asked for, where the body was read and named one. An upstream that does not say which model
    /// answered answered as this one.
    #[must_use]
    pub fn model_at_upstream(&self) -> Option<&str> {
        self.upstream_model.as_deref().or(self.model.as_deref())
    }

    /// Whether the client was sent a status of success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.is_success())
    }

    /// The tokens of output in what the client got, estimated by its bytes; 0 unless its status is one of success. For calls that end
    /// before their answer says what it used.
    #[must_use]
    pub fn output_by_bytes(&self) -> u64 {
        let bytes = if self.streaming == Some(true) { BYTES_PER_TOKEN.0 } else { BYTES_PER_TOKEN.1 };
        if self.is_success() { self.response_bytes / bytes } else { 0 }
    }
}

/// What an answer cost, in picodollars, as the plugin that records calls tells those that come after it.
#[derive(Debug)]
pub struct KnownCost(AtomicI64);

impl KnownCost {
    const UNKNOWN: i64 = i64::MIN;

    /// The cost; `None` where it is not known, or nobody has told it.
    #[must_use]
    pub fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|picos| *picos != Self::UNKNOWN)
    }

    /// Tells it.
    pub fn set(&self, picos: Option<i64>) {
        self.0.store(picos.unwrap_or(Self::UNKNOWN), Ordering::Relaxed);
    }
}

impl Default for KnownCost {
    fn default() -> Self {
        Self(AtomicI64::new(Self::UNKNOWN))
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The client has the upstream's whole answer, whatever its status.
    Completed,
    /// The gateway or a plugin refused it.
    Refused,
    /// A plugin answered in the upstream's place, without refusing.
    Cached,
    /// No upstream gave a whole answer.
    UpstreamFailed,
    /// The client left first.
    ClientGone,
    /// Cut short here: a panic, or a forced stop.
    Aborted,
}

impl Outcome {
    /// The word for it in logs and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::Cached => "cached",
            Self::UpstreamFailed => "upstream_failed",
            Self::ClientGone => "client_gone",
            Self::Aborted => "aborted",
        }
    }
}
