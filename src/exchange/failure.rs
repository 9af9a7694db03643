//! What can go wrong in an exchange, as one table: its word, how the exchange ends by it, what the server is blamed for, what the
//! client is answered and what the operator reads. Decides nothing.

use std::sync::Arc;

use http::StatusCode;
use log::{debug, warn};
use plugin_api::{ErrorKind, LogLimit, Outcome, Record};

use crate::balance::FailureClass;

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
    /// Every server has as many requests as it may; the status that says so, 503 or 429.
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
    /// The server said that it has not processed the request, and will not.
    NotProcessed,
    /// What the server sent was not HTTP.
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

/// One line of the table.
struct Row {
    /// The word for it in logs, the access log and the ledger.
    word: &'static str,
    /// How the exchange ends by it.
    outcome: Outcome,
    /// What the server is blamed for, if it is.
    class: Option<FailureClass>,
    /// Whether it is a server's, or that there is none.
    by_upstream: bool,
    /// The error that the client is answered with; none where nobody listens.
    error: Option<ErrorKind>,
    /// What the client is told: nothing of the inside.
    message: &'static str,
    /// What the operator can do about it.
    hint: &'static str,
    log: Log,
}

/// What is logged alike: the upstream, the server and the word.
type Kind = (Option<Arc<str>>, Option<Arc<str>>, &'static str);

/// How the operator learns of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    /// At level debug: it is the client's doing.
    Debug,
    /// As a warning, limited per upstream, server and word.
    Warn,
    /// As an error, limited.
    Error,
    /// Where it happened it has been logged, with more than is known here.
    Elsewhere,
}

const UNREACHABLE: &str = "The upstream could not be reached";
const CLOSED: &str = "The upstream closed the connection without an answer";
const SILENT: &str = "The upstream did not answer in time";
const NO_SERVER: &str = "No server can take the request now";
const OWN_FAULT: &str = "The gateway failed to handle the request";
const REPORT: &str = "a fault of the gateway; please report it";

impl Row {
    /// A failure of a server, which is blamed for it.
    const fn server(word: &'static str, class: FailureClass, error: ErrorKind) -> Self {
        Self { class: Some(class), ..Self::upstream(word, error, UNREACHABLE, "") }
    }

    /// A failure on the side of the upstream that no server is blamed for.
    const fn upstream(word: &'static str, error: ErrorKind, message: &'static str, hint: &'static str) -> Self {
        Self {
            word,
            outcome: Outcome::UpstreamFailed,
            class: None,
            by_upstream: true,
            error: Some(error),
            message,
            hint,
            log: Log::Warn,
        }
    }

    /// A failure of the client's making.
    const fn client(word: &'static str, outcome: Outcome, hint: &'static str) -> Self {
        Self { word, outcome, class: None, by_upstream: false, error: None, message: "", hint, log: Log::Debug }
    }

    /// A failure of the gateway's own.
    const fn gateway(word: &'static str) -> Self {
        Self {
            word,
            outcome: Outcome::Aborted,
            class: None,
            by_upstream: false,
            error: Some(ErrorKind::Internal),
            message: OWN_FAULT,
            hint: REPORT,
            log: Log::Elsewhere,
        }
    }
}

impl Failure {
    fn row(self) -> Row {
        use ErrorKind::{BadGateway, GatewayTimeout};
        match self {
            Self::ClientGone => Row::client("client_gone", Outcome::ClientGone, "client left"),
            Self::BadRequest => Row {
                error: Some(ErrorKind::InvalidRequest),
                message: "The request body is malformed",
                ..Row::client("bad_request", Outcome::Refused, "client sent a malformed request body")
            },
            Self::BodyTimeout => Row {
                error: Some(ErrorKind::RequestTimeout),
                message: LATE_BODY,
                ..Row::client(
                    "body_timeout",
                    Outcome::Refused,
                    "client paused too long within its request body; see server.body_timeout",
                )
            },
            Self::UpgradedTimeout => Row::client(
                "upgraded_timeout",
                Outcome::Completed,
                "nobody used an upgraded connection for timeouts.upgraded",
            ),
            Self::Connect => Row {
                hint: "upstream refused the connection; check that it runs and listens there",
                ..Row::server("connect", FailureClass::Connect, BadGateway)
            },
            Self::ConnectTimeout => Row {
                message: "The upstream could not be reached in time",
                hint: "upstream did not accept the connection in time; check the network, or raise timeouts.connect",
                ..Row::server("connect_timeout", FailureClass::Connect, GatewayTimeout)
            },
            Self::Tls => Row {
                hint: "upstream failed the TLS handshake; check its certificate, its name and upstreams.*.tls",
                ..Row::server("tls", FailureClass::Connect, BadGateway)
            },
            Self::SendTimeout => Row {
                message: SILENT,
                hint: "upstream took nothing of the request for too long; check it, or raise timeouts.idle",
                ..Row::server("send_timeout", FailureClass::Timeout, GatewayTimeout)
            },
            Self::FirstByteTimeout => Row {
                message: SILENT,
                hint: "upstream began no answer in time; check it, or raise timeouts.first_byte",
                ..Row::server("first_byte_timeout", FailureClass::Timeout, GatewayTimeout)
            },
            Self::IdleTimeout => Row {
                message: SILENT,
                hint: "upstream paused too long within its answer; check it, or raise timeouts.idle",
                ..Row::server("idle_timeout", FailureClass::Timeout, GatewayTimeout)
            },
            Self::NoAnswer => Row {
                message: CLOSED,
                hint: "upstream closed the connection before its answer",
                ..Row::server("no_answer", FailureClass::Error, BadGateway)
            },
            Self::BrokenAnswer => Row {
                message: CLOSED,
                hint: "upstream broke its answer; the client's connection is broken too",
                ..Row::server("broken_answer", FailureClass::Error, BadGateway)
            },
            Self::InvalidHeader => Row {
                message: CLOSED,
                hint: "upstream did not speak HTTP; check its address and port",
                ..Row::server("invalid_header", FailureClass::InvalidHeader, BadGateway)
            },
            Self::NotProcessed => Row::upstream(
                "not_processed",
                BadGateway,
                "The upstream did not take the request",
                "upstream closed the stream before it processed the request; check whether it restarts, or allows too few streams",
            ),
            Self::Status(_) => Row::upstream(
                "status",
                BadGateway,
                UNREACHABLE,
                "upstream answered with a status worth another attempt",
            ),
            Self::Unresolved => Row::upstream(
                "unresolved",
                ErrorKind::NoServer,
                NO_SERVER,
                "upstream has no address; check its name and the DNS",
            ),
            Self::NoServer => Row::upstream("no_server", ErrorKind::NoServer, NO_SERVER, "no server is left to try"),
            Self::Full(status) => {
                let error = match status {
                    StatusCode::TOO_MANY_REQUESTS => ErrorKind::TooManyRequests,
                    _ => ErrorKind::NoServer,
                };
                let hint = "every server is at its max_conns; raise it, add servers, or let more wait in a queue";
                Row::upstream("full", error, NO_SERVER, hint)
            }
            Self::TotalTimeout => Row {
                by_upstream: false,
                ..Row::upstream(
                    "total_timeout",
                    GatewayTimeout,
                    "The request took too long",
                    "exchange took too long as a whole; check the upstream, or raise timeouts.total",
                )
            },
            Self::Transform => Row {
                by_upstream: false,
                ..Row::upstream(
                    "transform",
                    BadGateway,
                    "The response cannot be passed on",
                    "plugins change the responses of this route, and this one is larger than max_body, encoded in an unknown way, or more than max_body_memory has room for",
                )
            },
            Self::PluginPanic => Row::gateway("plugin_panic"),
            Self::Internal => Row::gateway("internal"),
            Self::Aborted => Row {
                error: None,
                hint: "exchange cut short by a stop or a fault",
                log: Log::Error,
                ..Row::gateway("aborted")
            },
        }
    }

    /// The word for it in logs, the access log and the ledger.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().word
    }

    /// How the exchange ends by it.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        self.row().outcome
    }

    /// What its server is blamed for, if it is: not for the client, the gateway, or a limit on the whole.
    #[must_use]
    pub fn class(self) -> Option<FailureClass> {
        self.row().class
    }

    /// Whether it is that of a server, or that there is none.
    #[must_use]
    pub fn is_by_upstream(self) -> bool {
        self.row().by_upstream
    }

    /// The error that the client is answered with; none where nobody listens.
    #[must_use]
    pub fn error(self) -> Option<ErrorKind> {
        self.row().error
    }

    /// What the client is told: nothing of the inside.
    #[must_use]
    pub fn message(self) -> &'static str {
        self.row().message
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        self.row().hint
    }

    /// Whether it ends at a server that may be asked again at some time.
    #[must_use]
    pub fn is_want_of_servers(self) -> bool {
        matches!(self, Self::NoServer | Self::Full(_) | Self::Unresolved)
    }

    /// Logs it: the first failure of its kind at once, then once a minute. Each stands in the access log.
    pub fn log(self, record: &Record) {
        static FAILURES: LogLimit<Kind> = LogLimit::new();
        let Row { word: error, hint, log, .. } = self.row();
        let (id, attempts) = (record.context.id, record.attempts);
        let (upstream, server) = (record.upstream.as_deref().unwrap_or("-"), record.server.as_deref().unwrap_or("-"));
        match log {
            Log::Debug => debug!(id:%, error; "{hint}"),
            Log::Elsewhere => {}
            Log::Error => {
                static ERRORS: LogLimit = LogLimit::new();
                if let Some(suppressed) = ERRORS.pass(()) {
                    log::error!(id:%, path = &*record.path, suppressed; "{hint}");
                }
            }
            Log::Warn => match FAILURES.pass((record.upstream.clone(), record.server.clone(), error)) {
                Some(suppressed) => warn!(id:%, error, upstream, server, attempts, suppressed; "{hint}"),
                None => debug!(id:%, error, upstream, server, attempts; "{hint}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Failure; 24] = [
        Failure::ClientGone,
        Failure::BadRequest,
        Failure::BodyTimeout,
        Failure::Connect,
        Failure::ConnectTimeout,
        Failure::Tls,
        Failure::Unresolved,
        Failure::NoServer,
        Failure::Full(StatusCode::SERVICE_UNAVAILABLE),
        Failure::Full(StatusCode::TOO_MANY_REQUESTS),
        Failure::SendTimeout,
        Failure::FirstByteTimeout,
        Failure::IdleTimeout,
        Failure::TotalTimeout,
        Failure::UpgradedTimeout,
        Failure::NoAnswer,
        Failure::NotProcessed,
        Failure::InvalidHeader,
        Failure::BrokenAnswer,
        Failure::Status(529),
        Failure::Transform,
        Failure::PluginPanic,
        Failure::Internal,
        Failure::Aborted,
    ];

    #[test]
    fn every_failure_has_a_word_of_its_own_and_says_what_can_be_done() {
        let mut words: Vec<_> = ALL.iter().map(|failure| failure.word()).collect();
        words.sort_unstable();
        words.dedup();
        // `Full` stands twice
        assert_eq!(words.len(), ALL.len() - 1);
        for failure in ALL {
            assert!(!failure.hint().is_empty(), "{failure:?}");
            assert_eq!(failure.error().is_some(), !failure.message().is_empty() && failure != Failure::Aborted);
        }
    }

    #[test]
    fn a_blamed_server_ends_the_exchange_as_a_failure_of_the_upstream() {
        for failure in ALL {
            if failure.class().is_some() {
                assert!(failure.is_by_upstream() && failure.outcome() == Outcome::UpstreamFailed, "{failure:?}");
            }
        }
    }

    #[test]
    fn the_status_says_whose_failure_it_was() {
        let status = |failure: Failure| failure.error().map(|error| error.status().as_u16());
        assert_eq!(status(Failure::Connect), Some(502));
        assert_eq!(status(Failure::ConnectTimeout), Some(504));
        assert_eq!(status(Failure::TotalTimeout), Some(504));
        assert_eq!(status(Failure::BodyTimeout), Some(408));
        assert_eq!(status(Failure::Full(StatusCode::TOO_MANY_REQUESTS)), Some(429));
        assert_eq!(status(Failure::Unresolved), Some(503));
        assert_eq!(status(Failure::PluginPanic), Some(500));
        assert_eq!(status(Failure::ClientGone), None);
    }
}
