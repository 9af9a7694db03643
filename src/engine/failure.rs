//! What can go wrong in an exchange: how it ends by it, what the operator and the client are told. Decides nothing.

use std::sync::Arc;

use http::StatusCode;
use log::{debug, warn};
use pingora_error::ErrorType;
use plugin_api::{ErrorKind, LogLimit, Outcome, Record};

use crate::balance::FailureClass;

/// The error by which a hook tells that a plugin panicked.
pub const PLUGIN_PANIC: &str = "PluginPanic";

/// What is written of failures, by the upstream, the server and the word for it.
static FAILURES: LogLimit<Kind> = LogLimit::new();
type Kind = (Option<Arc<str>>, Option<Arc<str>>, &'static str);

/// What a client is told whose body did not come in time.
pub const LATE_BODY: &str = "The request body did not come in time";

/// A failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client left.
    ClientGone,
    /// The client broke its own request.
    BadRequest,
    /// The client paused too long within its request.
    BodyTimeout,
    /// No connection to the server came about.
    Connect,
    /// It took too long.
    ConnectTimeout,
    /// TLS with the server failed: its certificate, above all.
    Tls,
    /// The server's name has no address.
    Unresolved,
    /// No server is left to try.
    NoServer,
    /// Every server has as many requests as it may; the status that says so, 503 or 429.
    Full(StatusCode),
    /// The server took nothing of the request for too long.
    SendTimeout,
    /// No answer began in time.
    FirstByteTimeout,
    /// The answer paused too long.
    IdleTimeout,
    /// The exchange as a whole took too long.
    TotalTimeout,
    /// Nobody used an upgraded connection for too long.
    UpgradedTimeout,
    /// The server closed the connection before its answer's head.
    NoAnswer,
    /// The server said that it has not processed the request, and will not.
    NotProcessed,
    /// What it sent was not HTTP.
    InvalidHeader,
    /// It closed the connection within its answer.
    BrokenAnswer,
    /// The server answered with a status that is worth another attempt.
    Status(u16),
    /// A plugin panicked.
    PluginPanic,
    /// A fault of the gateway.
    Internal,
}

impl Failure {
    /// What a client has done whose connection failed like this.
    #[must_use]
    pub fn of_client(kind: &ErrorType) -> Self {
        match kind {
            ErrorType::ConnectionClosed
            | ErrorType::ConnectError
            | ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::H2Error => Self::ClientGone,
            ErrorType::ReadTimedout => Self::BodyTimeout,
            _ => Self::BadRequest,
        }
    }

    /// What its server is blamed for, if it is: not for the client, the gateway, or a limit on the whole.
    #[must_use]
    pub fn fault(self) -> Option<FailureClass> {
        Some(match self {
            Self::Connect | Self::ConnectTimeout | Self::Tls => FailureClass::Connect,
            Self::SendTimeout | Self::FirstByteTimeout | Self::IdleTimeout => FailureClass::Timeout,
            Self::NoAnswer | Self::BrokenAnswer => FailureClass::Error,
            Self::InvalidHeader => FailureClass::InvalidHeader,
            _ => return None,
        })
    }

    /// Whether it is that of a server, or that there is none.
    #[must_use]
    pub fn is_of_server(self) -> bool {
        self.fault().is_some()
            || matches!(self, Self::NotProcessed | Self::NoServer | Self::Full(_) | Self::Unresolved | Self::Status(_))
    }

    /// How the exchange ends by it.
    #[must_use]
    pub fn end(self) -> Outcome {
        match self {
            Self::ClientGone => Outcome::ClientGone,
            Self::BadRequest | Self::BodyTimeout => Outcome::Refused,
            Self::UpgradedTimeout => Outcome::Completed,
            Self::PluginPanic | Self::Internal => Outcome::Aborted,
            _ => Outcome::UpstreamFailed,
        }
    }

    /// The word for it in logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::BadRequest => "bad_request",
            Self::BodyTimeout => "body_timeout",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Unresolved => "unresolved",
            Self::NoServer => "no_server",
            Self::SendTimeout => "send_timeout",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::UpgradedTimeout => "upgraded_timeout",
            Self::Full(_) => "full",
            Self::InvalidHeader => "invalid_header",
            Self::NoAnswer => "no_answer",
            Self::NotProcessed => "not_processed",
            Self::BrokenAnswer => "broken_answer",
            Self::Status(_) => "status",
            Self::PluginPanic => "plugin_panic",
            Self::Internal => "internal",
        }
    }

    /// Tells the operator: of the first failure of its kind at once, then once a minute. Each stands in the access log.
    pub fn tell(self, record: &Record) {
        let (id, error) = (record.id, self.word());
        let (upstream, server) = (record.upstream.as_deref().unwrap_or("-"), record.server.as_deref().unwrap_or("-"));
        match self {
            Self::ClientGone | Self::BadRequest | Self::BodyTimeout | Self::UpgradedTimeout => {
                debug!(id:%, error; "{}", self.advice());
            }
            Self::PluginPanic => {} // the chain has told
            _ => match FAILURES.pass((record.upstream.clone(), record.server.clone(), error)) {
                Some(suppressed) => {
                    warn!(id:%, error, upstream, server, attempts = record.attempts, suppressed; "{}", self.advice());
                }
                None => debug!(id:%, error, upstream, server, attempts = record.attempts; "{}", self.advice()),
            },
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::ClientGone => "client left",
            Self::BadRequest => "client sent a malformed request body",
            Self::BodyTimeout => "client paused too long within its request body; see server.body_timeout",
            Self::Connect => "upstream refused the connection; check that it runs and listens there",
            Self::ConnectTimeout => {
                "upstream did not accept the connection in time; check the network, or raise timeouts.connect"
            }
            Self::Tls => "upstream failed the TLS handshake; check its certificate, its name and upstreams.*.tls",
            Self::Unresolved => "upstream has no address; check its name and the DNS",
            Self::NoServer => "no server is left to try",
            Self::Full(_) => "every server is at its max_conns; raise it, add servers, or let more wait in a queue",
            Self::InvalidHeader => "upstream did not speak HTTP; check its address and port",
            Self::SendTimeout => "upstream took nothing of the request for too long; check it, or raise timeouts.idle",
            Self::FirstByteTimeout => "upstream began no answer in time; check it, or raise timeouts.first_byte",
            Self::IdleTimeout => "upstream paused too long within its answer; check it, or raise timeouts.idle",
            Self::TotalTimeout => "exchange took too long as a whole; check the upstream, or raise timeouts.total",
            Self::UpgradedTimeout => "nobody used an upgraded connection for timeouts.upgraded",
            Self::NoAnswer => "upstream closed the connection before its answer",
            Self::NotProcessed => {
                "upstream closed the stream before it processed the request; check whether it restarts, or allows too few streams"
            }
            Self::BrokenAnswer => "upstream broke its answer; the client's connection is broken too",
            Self::Status(_) => "upstream answered with a status worth another attempt",
            Self::PluginPanic | Self::Internal => "a fault of the gateway; please report it",
        }
    }

    /// The error that the client is answered with; none where nobody listens.
    #[must_use]
    pub fn kind(self) -> Option<ErrorKind> {
        match self {
            Self::ClientGone | Self::UpgradedTimeout => None,
            Self::BadRequest => Some(ErrorKind::InvalidRequest),
            Self::BodyTimeout => Some(ErrorKind::RequestTimeout),
            Self::Connect
            | Self::Tls
            | Self::NoAnswer
            | Self::NotProcessed
            | Self::InvalidHeader
            | Self::BrokenAnswer
            | Self::Status(_) => Some(ErrorKind::BadGateway),
            Self::Full(StatusCode::TOO_MANY_REQUESTS) => Some(ErrorKind::TooManyRequests),
            Self::NoServer | Self::Full(_) | Self::Unresolved => Some(ErrorKind::NoServer),
            Self::ConnectTimeout
            | Self::SendTimeout
            | Self::FirstByteTimeout
            | Self::IdleTimeout
            | Self::TotalTimeout => Some(ErrorKind::GatewayTimeout),
            Self::PluginPanic | Self::Internal => Some(ErrorKind::Internal),
        }
    }

    /// What the client is told: nothing of the inside.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "The request body is malformed",
            Self::BodyTimeout => LATE_BODY,
            Self::NoServer | Self::Full(_) | Self::Unresolved => "No server can take the request now",
            Self::ConnectTimeout => "The upstream could not be reached in time",
            Self::SendTimeout | Self::FirstByteTimeout | Self::IdleTimeout => "The upstream did not answer in time",
            Self::TotalTimeout => "The request took too long",
            Self::NotProcessed => "The upstream did not take the request",
            Self::NoAnswer | Self::InvalidHeader | Self::BrokenAnswer => {
                "The upstream closed the connection without an answer"
            }
            Self::PluginPanic | Self::Internal => "The gateway failed to handle the request",
            _ => "The upstream could not be reached",
        }
    }
}
