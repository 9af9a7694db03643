//! The table of failures: one row each, and the rows that look alike built by the same function.

use http::StatusCode;
use plugin_api::{ErrorKind, Outcome, Shortage};

use crate::balance::FailureClass;

use super::Failure;

/// One line of the table.
pub(super) struct Row {
    pub word: &'static str,
    pub outcome: Outcome,
    pub class: Option<FailureClass>,
    pub by_upstream: bool,
    pub error: Option<ErrorKind>,
    pub message: &'static str,
    pub hint: &'static str,
    pub retry_after: Option<u64>,
    pub log: Log,
}

/// How it is logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// At level debug, because the client is the cause.
    Debug,
    /// At level info, limited per word: the request is larger than a limit.
    Refusal,
    /// As a warning, limited per word: the gateway has no room for the request.
    Overload,
    /// As a warning, limited per upstream, server and word.
    Warn,
    /// As an error, limited.
    Error,
    /// Not here: the place of the fault logs it, with more detail.
    Elsewhere,
}

const UNREACHABLE: &str = "The upstream could not be reached";
const CLOSED: &str = "The upstream closed the connection without an answer";
const SILENT: &str = "The upstream did not answer in time";
const NO_SERVER: &str = "No server can take the request now";
const OWN_FAULT: &str = "The gateway failed to handle the request";
const AT_ITS_LIMIT: &str = "the gateway is at its limit; see `tollgate check` for its sizes";
/// The seconds after which a request may come again that the gateway had no room for.
const RETRY_AFTER: u64 = 1;
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
            retry_after: None,
            log: Log::Warn,
        }
    }

    /// A failure of the client's making.
    const fn client(word: &'static str, outcome: Outcome, hint: &'static str) -> Self {
        Self {
            word,
            outcome,
            class: None,
            by_upstream: false,
            error: None,
            message: "",
            hint,
            retry_after: None,
            log: Log::Debug,
        }
    }

    /// A request that is refused before it has an upstream. The caller may give a message that says more.
    const fn refused(word: &'static str, error: ErrorKind, message: &'static str, hint: &'static str) -> Self {
        Self { error: Some(error), message, ..Self::client(word, Outcome::Refused, hint) }
    }

    /// A request that is refused because the gateway has no room for it now.
    const fn overload(word: &'static str, message: &'static str) -> Self {
        let refused = Self::refused(word, ErrorKind::Overloaded, message, AT_ITS_LIMIT);
        Self { retry_after: Some(RETRY_AFTER), log: Log::Overload, ..refused }
    }

    /// A fault of the gateway.
    const fn gateway(word: &'static str) -> Self {
        Self {
            word,
            outcome: Outcome::Aborted,
            class: None,
            by_upstream: false,
            error: Some(ErrorKind::Internal),
            message: OWN_FAULT,
            hint: REPORT,
            retry_after: None,
            log: Log::Elsewhere,
        }
    }
}

impl Failure {
    pub(super) fn row(self) -> Row {
        use ErrorKind::{BadGateway, GatewayTimeout, InvalidRequest, TooLarge};
        match self {
            Self::ClientGone => Row::client("client_gone", Outcome::ClientGone, "client left"),
            Self::InvalidHead => Row::refused(
                "invalid_head",
                InvalidRequest,
                "The request head is malformed",
                "client sent an ambiguous head",
            ),
            Self::Tunnel => Row::refused(
                "tunnel",
                ErrorKind::MethodNotAllowed,
                "The gateway opens no tunnels",
                "client asked for a tunnel (CONNECT)",
            ),
            Self::InvalidFrame => Row::client(
                "invalid_frame",
                Outcome::ClientGone,
                "an HTTP/2 client sent a frame that cannot be; its connection was closed",
            ),
            Self::Flood => Row::client(
                "flood",
                Outcome::ClientGone,
                "an HTTP/2 client sent too many frames that bring nothing on; its connection was closed",
            ),
            Self::InvalidPath => Row::refused(
                "invalid_path",
                InvalidRequest,
                "The request path is malformed",
                "client sent an invalid path",
            ),
            Self::Trace => Row::refused(
                "trace",
                ErrorKind::MethodNotAllowed,
                "The method TRACE is not taken here",
                "client sent TRACE",
            ),
            Self::HeadTooLarge => Row {
                log: Log::Refusal,
                ..Row::refused(
                    "head_too_large",
                    ErrorKind::HeadTooLarge,
                    "The request head is too large",
                    "its head is larger than max_header",
                )
            },
            Self::HeadMemory => Row::overload("head_memory", "The gateway holds as many requests as it may"),
            Self::NoRoute => Row::refused(
                "no_route",
                ErrorKind::NotFound,
                "No route leads anywhere for this host and path",
                "no route takes the request",
            ),
            Self::UnroutableModel => Row::refused(
                "unroutable_model",
                InvalidRequest,
                "It is not certain where the models of this call are served",
                "the models of a call, or of a batch, lead to different places; see routes.*.models",
            ),
            Self::WebSocketOff => Row::refused(
                "websocket_off",
                ErrorKind::UpgradeRequired,
                "This route takes no WebSockets; send the call as an HTTP request",
                "the route says websocket: off",
            ),
            Self::WebSocketProtocol => Row::client(
                "websocket_protocol",
                Outcome::Aborted,
                "one side of a WebSocket broke its protocol; the connection was closed",
            ),
            Self::BadRequest => Row::refused(
                "bad_request",
                InvalidRequest,
                "The request body is malformed",
                "client sent a malformed request body",
            ),
            Self::BodyTimeout => Row::refused(
                "body_timeout",
                ErrorKind::RequestTimeout,
                "The request body did not come in time",
                "client paused too long within its request body; see server.body_timeout",
            ),
            Self::BodyTooLarge => Row::refused(
                "body_too_large",
                TooLarge,
                "The request body is too large",
                "client sent a body larger than max_body",
            ),
            Self::BodyMemory(Shortage::Full) => {
                Row::overload("body_memory", "The gateway holds as many request bodies as it may")
            }
            Self::BodyMemory(Shortage::Never) => Row::refused(
                "body_memory",
                TooLarge,
                "The request body is larger than the gateway can hold",
                "client sent a body larger than max_body_memory",
            ),
            Self::Busy => Row::overload("busy", "The gateway reads as many large bodies as it may"),
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
                "upstream closed the stream or the kept connection before it processed the request; check whether it restarts, allows too few streams, or closes idle connections before keepalive.idle_timeout",
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
}
