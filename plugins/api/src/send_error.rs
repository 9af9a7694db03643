//! Why a request of a plugin's own has no whole response. What a server answered, whatever its status, is no error.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use crate::{ErrorKind, SentTo};

/// Why a request has no whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The configuration in force has no upstream of this name.
    UnknownUpstream(Arc<str>),
    /// The request cannot be written as HTTP: its target, or a header.
    Invalid,
    /// The gateway has stopped, or does not serve yet.
    Stopped,
    /// The response is longer than the plugin reads.
    TooLarge,
    /// The bodies of all requests take as much memory as they may.
    NoMemory,
    /// No upstream gave a whole response.
    Failed(Box<SendFailure>),
}

/// How a request failed, in the words that the gateway has for a client's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFailure {
    /// The kind of error that a client gets.
    pub kind: ErrorKind,
    /// Its status, which may be that of a response that was discarded for another attempt.
    pub status: StatusCode,
    /// Its message.
    pub message: &'static str,
    /// When another request is worth it.
    pub retry_after: Option<HeaderValue>,
    /// Where the request went.
    pub sent: Box<SentTo>,
}

impl SendError {
    /// The kind of error that a client gets which has waited for the request.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownUpstream(_) => ErrorKind::NoServer,
            Self::Invalid => ErrorKind::Internal,
            Self::Stopped | Self::NoMemory => ErrorKind::Overloaded,
            Self::TooLarge => ErrorKind::BadGateway,
            Self::Failed(failure) => failure.kind,
        }
    }

    /// The word for it in logs and in the ledger.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::UnknownUpstream(_) => "unknown_upstream",
            Self::Invalid => "invalid_request",
            Self::Stopped => "stopped",
            Self::TooLarge => "response_too_large",
            Self::NoMemory => "no_memory",
            Self::Failed(failure) => failure.sent.error.unwrap_or("failed"),
        }
    }

    /// The message for a client. It says nothing of the inside.
    #[must_use]
    pub fn message(&self) -> &'static str {
        match self {
            Self::UnknownUpstream(_) => "The upstream is gone",
            Self::Invalid => "The request cannot be sent",
            Self::Stopped => "The gateway stops",
            Self::TooLarge => "The upstream's answer is too large",
            Self::NoMemory => "The gateway holds as many bytes of bodies as it may",
            Self::Failed(failure) => failure.message,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUpstream(name) => write!(f, "the configuration has no upstream {name}"),
            Self::Failed(failure) => {
                let server = failure.sent.server.as_deref().unwrap_or("no server");
                write!(f, "{}: {} ({server})", self.word(), failure.message)
            }
            _ => f.write_str(self.message()),
        }
    }
}

impl std::error::Error for SendError {}
