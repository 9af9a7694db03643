//! Why an exchange fails or is refused by the gateway: one type, and one table that maps it to the word for it, the outcome, the class of
//! failure that the server is blamed for, the client's answer and the operator's log line. Decides nothing.

mod table;

use std::sync::Arc;

use http::StatusCode;
use log::{debug, info, warn};
use plugin_api::{ErrorKind, LogLimit, Outcome, Record, Shortage};

use crate::balance::FailureClass;

use table::{Log, Row};

/// Why an exchange failed, or why its request was refused before it had an upstream. What a plugin refuses is the plugin's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client left.
    ClientGone,
    /// Two parsers could read the request's head in two ways.
    InvalidHead,
    /// An HTTP/2 client sent a frame that cannot be.
    InvalidFrame,
    /// The request asks for a tunnel (`CONNECT`).
    Tunnel,
    /// An HTTP/2 client sent too many frames that bring nothing on.
    Flood,
    /// The request's path has no normal form.
    InvalidPath,
    /// The request's method would have a server repeat its headers to whoever asks.
    Trace,
    /// The request's head is larger than `max_header`.
    HeadTooLarge,
    /// The heads of all requests take as much memory as they may.
    HeadMemory,
    /// No route leads anywhere for the request.
    NoRoute,
    /// It is not certain where the models of a call are served.
    UnroutableModel,
    /// The route takes no WebSocket.
    WebSocketOff,
    /// One side of a WebSocket broke its protocol.
    WebSocketProtocol,
    /// The client broke its own request.
    BadRequest,
    /// The client paused too long within its request.
    BodyTimeout,
    /// The request's body is larger than `max_body`.
    BodyTooLarge,
    /// The bodies of all requests take as much memory as they may, or could never take as much as this one.
    BodyMemory(Shortage),
    /// No slot to read a large body in became free in time.
    Busy,
    /// No connection to the server was established.
    Connect,
    /// Establishing it took too long.
    ConnectTimeout,
    /// TLS with the server failed: usually its certificate.
    Tls,
    /// The server's name has no address.
    Unresolved,
    /// No server is left to try.
    NoServer,
    /// Every server has as many requests as it may. The status of the answer is 503 or 429.
    Full(StatusCode),
    /// The server read nothing of the request for too long.
    SendTimeout,
    /// No response began in time.
    FirstByteTimeout,
    /// The response paused too long.
    IdleTimeout,
    /// The exchange as a whole took too long.
    TotalTimeout,
    /// An upgraded connection was idle for too long.
    UpgradedTimeout,
    /// The server closed the connection before the head of its response.
    NoAnswer,
    /// The server has not processed the request, and will not: it said so, or had closed the connection before.
    NotProcessed,
    /// The server's bytes were not HTTP.
    InvalidHeader,
    /// The server closed the connection within its response.
    BrokenAnswer,
    /// The server answered with a status that is worth another attempt.
    Status(u16),
    /// Plugins change the response, and it cannot be changed.
    Transform,
    /// A plugin panicked.
    PluginPanic,
    /// A fault of the gateway.
    Internal,
    /// The exchange was cut short: a forced stop, or a panic.
    Aborted,
}

/// Log lines of one kind are limited together: the upstream, the server and the word.
type LogKind = (Option<Arc<str>>, Option<Arc<str>>, &'static str);

impl Failure {
    /// The word for it in logs, the access log and the ledger.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().word
    }

    /// The outcome of an exchange that ends by it.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        self.row().outcome
    }

    /// The class of failure that its server is blamed for. `None` where the client, the gateway, or a limit on the whole exchange is
    /// the cause.
    #[must_use]
    pub fn class(self) -> Option<FailureClass> {
        self.row().class
    }

    /// Whether a server failed, or none was available.
    #[must_use]
    pub fn is_by_upstream(self) -> bool {
        self.row().by_upstream
    }

    /// The error that the client is answered with; `None` where no client listens.
    #[must_use]
    pub fn error(self) -> Option<ErrorKind> {
        self.row().error
    }

    /// The message for the client. It says nothing of the inside.
    #[must_use]
    pub fn message(self) -> &'static str {
        self.row().message
    }

    /// The hint for the operator.
    #[must_use]
    pub fn hint(self) -> &'static str {
        self.row().hint
    }

    /// The seconds after which the client may send a refused request again.
    #[must_use]
    pub fn retry_after(self) -> Option<u64> {
        self.row().retry_after
    }

    /// Whether no server was available, so that the time at which one may be again is worth telling.
    #[must_use]
    pub fn is_want_of_servers(self) -> bool {
        matches!(self, Self::NoServer | Self::Full(_) | Self::Unresolved)
    }

    /// Logs it: the first of its kind at once, then one a minute. The access log has a line for each. `cause` is what the network or
    /// TLS said, where a connection could not be established.
    pub fn log(self, record: &Record, cause: Option<&str>) {
        static FAILURES: LogLimit<LogKind> = LogLimit::new();
        static REFUSALS: LogLimit<&str> = LogLimit::new();
        let Row { word: error, hint, log, .. } = self.row();
        let (id, attempts) = (record.context.id, record.attempts);
        let (upstream, server) = (record.upstream.as_deref().unwrap_or("-"), record.server.as_deref().unwrap_or("-"));
        let cause = cause.unwrap_or("-");
        match log {
            Log::Debug => debug!(id:%, error; "{hint}"),
            Log::Elsewhere => {}
            Log::Refusal => {
                if let Some(suppressed) = REFUSALS.pass(error) {
                    info!(id:%, error, suppressed; "request refused: {hint}");
                }
            }
            Log::Overload => {
                if let Some(suppressed) = REFUSALS.pass(error) {
                    warn!(id:%, error, suppressed; "request refused: {hint}");
                }
            }
            Log::Error => {
                static ERRORS: LogLimit = LogLimit::new();
                if let Some(suppressed) = ERRORS.pass(()) {
                    log::error!(id:%, path = &*record.path, suppressed; "{hint}");
                }
            }
            Log::Warn => match FAILURES.pass((record.upstream.clone(), record.server.clone(), error)) {
                Some(suppressed) => warn!(id:%, error, cause, upstream, server, attempts, suppressed; "{hint}"),
                None => debug!(id:%, error, cause, upstream, server, attempts; "{hint}"),
            },
        }
    }
}

#[cfg(test)]
mod tests;
