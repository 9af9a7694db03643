//! What is known of a request when its last byte is about to be written, and when it is over.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use uuid::Uuid;

use crate::{Answer, Context, ConversationHash, Endpoint};

/// One exchange from its first byte to its last. Figures that were never learned are `None`, not 0. Texts of strangers are
/// [`shortened`](crate::shortened) before they come here.
#[derive(Debug)]
pub struct Record {
    /// What every hook knows of it: its id, its route, its client, who calls.
    pub context: Context,
    /// When its head had been read.
    pub started: SystemTime,
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
    /// Attempts made upstream; 0 where none was.
    pub attempts: u32,
    /// The status sent to the client; `None` where nothing was sent.
    pub status: Option<StatusCode>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, in a word (`connect`, `first_byte_timeout`, …); `None` where nothing did.
    pub error: Option<&'static str>,
    /// The plugin that refused the request; `None` where none did.
    pub plugin: Option<&'static str>,
    /// Why it did, in its own word; see [`Refusal`](crate::Refusal).
    pub reason: Option<&'static str>,
    /// The type in the error object that the client is answered with; `None` where that is not made here.
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
    /// What the upstream's answer said of itself, where a plugin [needs answers](crate::Needs::answer).
    pub answer: Option<Answer>,
    /// What the answer said that a plugin gave again in the upstream's place: nothing of it is billed.
    pub saved: Option<Answer>,
    /// The upstream's own id of the exchange (`request-id`, `x-request-id`).
    pub upstream_request_id: Option<String>,
    /// From the head of the request to the end.
    pub total: Duration,
}

impl Record {
    /// An exchange of which nothing is known yet but that it began. Until more is known, it counts as cut short.
    #[must_use]
    pub fn begun(id: Uuid, started: SystemTime) -> Self {
        Self {
            context: Context::new(id),
            started,
            method: Method::GET,
            path: String::new(),
            host: String::new(),
            endpoint: None,
            model: None,
            streaming: None,
            body_read: false,
            system_blocks: None,
            asks_quota: false,
            conversation: None,
            upstream: None,
            server: None,
            attempts: 0,
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
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The client has the upstream's whole answer, whatever its status.
    Completed,
    /// The gateway or a plugin refused it.
    Refused,
    /// A plugin answered it in the upstream's place.
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
