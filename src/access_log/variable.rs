//! The variables of a format: nginx's, those that it knows only when a request is over, and ours, which tell of the call.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Version};
use plugin_api::{Outcome, Record, RequestHead, Transport, Variable, Variables, tags};

use super::captured::Captured;
use super::local_time;
use crate::logging::field;

/// A variable of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogVariable {
    /// One that a head has, which is captured as it passes.
    Captured(Variable),
    /// One that the record or the connection has.
    Known(Variable),
    /// One that is known when the request is over.
    Late(Late),
}

macro_rules! late {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What is known when a request is over.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Late {
            $($(#[$doc])* $variant,)*
        }

        impl Late {
            const ALL: &[(&str, Self)] = &[$(($name, Self::$variant)),*];
        }
    };
}

late! {
    /// The local time, as in nginx's `combined`.
    TimeLocal = "time_local",
    /// The local time as in ISO 8601.
    TimeIso8601 = "time_iso8601",
    /// Seconds since 1970, with milliseconds.
    Msec = "msec",
    /// Seconds from the head of the request to the end, with milliseconds.
    RequestTime = "request_time",
    /// Seconds from the head of the request to the end of the upstream's response.
    UpstreamResponseTime = "upstream_response_time",
    /// Seconds from the head of the request to the head of the upstream's response.
    UpstreamHeaderTime = "upstream_header_time",
    /// The status; 499 where the client left without one, else 000.
    Status = "status",
    /// The status, where an upstream gave the response.
    UpstreamStatus = "upstream_status",
    /// Bytes of the response's body.
    BodyBytesSent = "body_bytes_sent",
    /// Bytes of the request's body.
    RequestBodyBytes = "request_body_bytes",
    /// The name of the caller's key, by basic authentication or `api_keys`.
    RemoteUser = "remote_user",
    /// The host of the route as the YAML writes it.
    ServerName = "server_name",
    /// The path in its normal form.
    Uri = "uri",
    /// The id of the upstream's response.
    UpstreamRequestId = "upstream_request_id",
    /// How the request ended.
    Outcome = "outcome",
    /// The failure, in a word.
    Error = "error",
    /// The type of the error object that was sent.
    ErrorType = "error_type",
    /// The plugin that refused the request.
    Plugin = "plugin",
    /// The reason of the refusal.
    Reason = "reason",
    /// The endpoint, where it is a call to a model.
    Endpoint = "endpoint",
    /// The model asked for.
    Model = "model",
    /// The model that answered.
    ServedModel = "served_model",
    /// Whether a stream was asked for.
    Streaming = "streaming",
    /// Why the answer ended.
    StopReason = "stop_reason",
    /// Tokens of input that were in no cache.
    InputTokens = "input_tokens",
    /// Tokens of output.
    OutputTokens = "output_tokens",
    /// Tokens of input that were read from a cache.
    CacheReadTokens = "cache_read_input_tokens",
    /// Tokens of input that were written to a cache.
    CacheCreationTokens = "cache_creation_input_tokens",
    /// The part of the output that was reasoning.
    ReasoningTokens = "reasoning_tokens",
    /// Seconds from the head of the request to the first content of the answer.
    FirstTokenTime = "first_token_time",
    /// What a cache did for the call.
    CacheStatus = "cache_status",
    /// What the answer cost, in US dollars, where the route has a ledger.
    Cost = "cost",
    /// The name of the caller's key.
    KeyName = "key_name",
    /// The caller's tenant.
    Tenant = "tenant",
    /// The caller's session.
    SessionId = "session_id",
    /// The caller's user.
    UserId = "user_id",
    /// The route's name.
    Route = "route",
    /// The upstream's name.
    Upstream = "upstream",
    /// The server's address as the YAML writes it.
    Server = "server",
    /// Attempts made upstream.
    Attempts = "attempts",
    /// The protocol: `http/1.1`, `h2`, `websocket`.
    Protocol = "protocol",
}

/// What a line is written from, besides what was captured.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The record.
    pub record: &'a Record,
    /// The host of the route as metrics name it.
    pub domain: &'a str,
    /// The first host of the route as the YAML writes it; empty where it names none.
    pub server_name: &'a str,
    /// The path in its normal form.
    pub path: &'a str,
    /// What was copied of its heads.
    pub captured: Option<&'a Captured>,
}

impl LogVariable {
    /// The variable of this name, without its dollar.
    pub fn named(name: &str) -> Option<Self> {
        if let Some((_, late)) = Late::ALL.iter().find(|(known, _)| *known == name) {
            return Some(Self::Late(*late));
        }
        Some(match Variable::named(name)? {
            Variable::Uri => Self::Late(Late::Uri),
            variable if is_in_a_head(&variable) => Self::Captured(variable),
            variable => Self::Known(variable),
        })
    }

    /// The names that have no part to choose, for messages.
    pub fn names() -> Vec<&'static str> {
        Late::ALL.iter().map(|(name, _)| *name).chain(Variable::NAMES.iter().copied()).collect()
    }

    /// Whether it tells of the answer, which is read for it.
    pub fn is_of_answer(&self) -> bool {
        matches!(
            self,
            Self::Late(
                Late::ServedModel
                    | Late::StopReason
                    | Late::InputTokens
                    | Late::OutputTokens
                    | Late::CacheReadTokens
                    | Late::CacheCreationTokens
                    | Late::ReasoningTokens
                    | Late::FirstTokenTime
            )
        )
    }
}

/// Whether only the head of a request or a response has it.
fn is_in_a_head(variable: &Variable) -> bool {
    matches!(
        variable,
        Variable::Request
            | Variable::RequestUri
            | Variable::Args
            | Variable::IsArgs
            | Variable::Arg(_)
            | Variable::Cookie(_)
            | Variable::Http(_)
            | Variable::SentHttp(_)
            | Variable::UpstreamHttp(_)
            | Variable::ProxyAddXForwardedFor
    )
}

/// Appends the value of a variable that no head has; nothing where it has none.
pub(super) fn append_known(out: &mut Vec<u8>, variable: &Variable, of: Entry<'_>) {
    let Entry { record, server_name, path, .. } = of;
    let version = match record.transport {
        Transport::Http2 => Version::HTTP_2,
        Transport::Http10 => Version::HTTP_10,
        Transport::Http11 | Transport::WebSocket => Version::HTTP_11,
    };
    let no_headers = HeaderMap::new();
    let request = RequestHead {
        method: &record.method,
        target: path.as_bytes(),
        path,
        version,
        host: &record.host,
        server_name,
        headers: &no_headers,
    };
    let of = Variables { context: &record.context, request, response: None, upstream_addrs: &record.upstream_addrs };
    variable.append(out, &of);
}

/// Appends what is known at the end; nothing where that is nothing.
pub(super) fn append_late(out: &mut Vec<u8>, late: Late, of: Entry<'_>) {
    let record = of.record;
    let caller = record.context.principal();
    let answer = record.answer.as_ref();
    let tokens = answer.and_then(|answer| answer.usage.as_ref()).map(|usage| usage.tokens).unwrap_or_default();
    let by_upstream = record.first_byte.is_some();
    match late {
        Late::TimeLocal => local_time::append_common(out, ended(record)),
        Late::TimeIso8601 => local_time::append_iso8601(out, ended(record)),
        Late::Msec => {
            let since = ended(record).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            seconds(out, Some(since));
        }
        Late::RequestTime => seconds(out, Some(record.total)),
        Late::UpstreamResponseTime => seconds(out, Some(record.total).filter(|_| by_upstream)),
        Late::UpstreamHeaderTime => seconds(out, record.first_byte),
        Late::Status => match record.status {
            Some(status) => out.extend_from_slice(status.as_str().as_bytes()),
            None if record.outcome == Outcome::ClientGone => out.extend_from_slice(b"499"),
            None => out.extend_from_slice(b"000"),
        },
        Late::UpstreamStatus => text(out, record.status.as_ref().filter(|_| by_upstream).map(|status| status.as_str())),
        Late::BodyBytesSent => field::number(out, record.response_bytes),
        Late::RequestBodyBytes => field::number(out, record.request_bytes),
        Late::RemoteUser | Late::KeyName => text(out, caller.key_name.as_deref()),
        Late::ServerName => text(out, Some(of.server_name)),
        Late::Uri => text(out, Some(of.path)),
        Late::UpstreamRequestId => text(out, record.upstream_request_id.as_deref()),
        Late::Outcome => text(out, Some(record.outcome.as_str())),
        Late::Error => text(out, record.error),
        Late::ErrorType => {
            text(out, record.error_type.or_else(|| answer.and_then(|answer| answer.error_type.as_deref())));
        }
        Late::Plugin => text(out, record.plugin),
        Late::Reason => text(out, record.reason),
        Late::Endpoint => text(out, record.endpoint.map(|endpoint| endpoint.as_str())),
        Late::Model => text(out, record.model.as_deref()),
        Late::ServedModel => text(out, answer.and_then(|answer| answer.model.as_deref())),
        Late::Streaming => text(out, record.streaming.map(|streaming| if streaming { "1" } else { "0" })),
        Late::StopReason => text(out, answer.and_then(|answer| answer.stop_reason.as_deref())),
        Late::InputTokens => number(out, tokens.input),
        Late::OutputTokens => number(out, tokens.output),
        Late::CacheReadTokens => number(out, tokens.cache_read),
        Late::CacheCreationTokens => number(out, tokens.cache_creation),
        Late::ReasoningTokens => number(out, tokens.reasoning),
        Late::FirstTokenTime => seconds(out, record.first_token),
        Late::CacheStatus => text(out, record.context.tags.get(tags::CACHE_STATUS).map(AsRef::as_ref)),
        Late::Cost => cost(out, record.cost.get()),
        Late::Tenant => text(out, caller.tenant.as_deref()),
        Late::SessionId => text(out, caller.session.as_deref()),
        Late::UserId => text(out, caller.user.as_deref()),
        Late::Route => text(out, record.context.route.as_deref()),
        Late::Upstream => text(out, record.upstream.as_deref()),
        Late::Server => text(out, record.server.as_deref()),
        Late::Attempts => field::number(out, record.attempts.into()),
        Late::Protocol => text(out, Some(record.transport.as_str())),
    }
}

/// When a request ended.
fn ended(record: &Record) -> SystemTime {
    record.started.checked_add(record.total).unwrap_or(record.started)
}

fn text(out: &mut Vec<u8>, value: Option<&str>) {
    out.extend_from_slice(value.unwrap_or_default().as_bytes());
}

fn number(out: &mut Vec<u8>, value: Option<u64>) {
    if let Some(value) = value {
        field::number(out, value);
    }
}

/// Seconds with milliseconds.
fn seconds(out: &mut Vec<u8>, time: Option<Duration>) {
    if let Some(time) = time {
        // a vector takes all bytes
        let _ = write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis());
    }
}

/// US dollars, to the picodollar, without zeros at the end.
fn cost(out: &mut Vec<u8>, picos: Option<i64>) {
    const DOLLAR: u64 = 1_000_000_000_000;
    let Some(picos) = picos else { return };
    let sign = if picos < 0 { "-" } else { "" };
    let (whole, part) = (picos.unsigned_abs() / DOLLAR, picos.unsigned_abs() % DOLLAR);
    let part = format!(".{part:012}");
    let part = part.trim_end_matches('0').trim_end_matches('.');
    // a vector takes all bytes
    let _ = write!(out, "{sign}{whole}{part}");
}
