//! nginx's variables of a request and its response, by the names that nginx gives them. Those of times and sizes, which are known only
//! when all is over, belong to the access log.

mod template;
#[cfg(test)]
mod tests;
mod value;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::{Context, RequestHead, UpstreamAddrs};

pub use template::{VariableTemplate, header_value};

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `$host`: the host asked for, in lower case, without the port.
    Host,
    /// `$remote_addr`: the client's address, as a trusted proxy says it, else that of the connection.
    RemoteAddr,
    /// `$remote_port`: the client's port, where its address is that of the connection.
    RemotePort,
    /// `$remote_user`: the name of the caller, where a plugin has identified one.
    RemoteUser,
    /// `$scheme`: `http` or `https`, by the connection.
    Scheme,
    /// `$https`: `on`, or nothing.
    Https,
    /// `$server_addr`: the address where the connection arrived.
    ServerAddr,
    /// `$server_port`: its port.
    ServerPort,
    /// `$server_name`: the first of the route's `hosts` as the YAML writes it; nothing where it names none.
    ServerName,
    /// `$server_protocol`: `HTTP/1.1`, `HTTP/2.0`.
    ServerProtocol,
    /// `$request`: the request line.
    Request,
    /// `$request_method`.
    RequestMethod,
    /// `$request_uri`: path and query as the client sent them.
    RequestUri,
    /// `$uri`, `$document_uri`: the path in its normal form.
    Uri,
    /// `$args`, `$query_string`: the query.
    Args,
    /// `$is_args`: `?` where there is a query that is not empty.
    IsArgs,
    /// `$arg_NAME`: a parameter of the query.
    Arg(Box<str>),
    /// `$cookie_NAME`: a cookie.
    Cookie(Box<str>),
    /// `$request_id`: the request's id.
    RequestId,
    /// `$trace_id`: the id of its trace, where it has one; `$otel_trace_id` is the same.
    TraceId,
    /// `$http_NAME`: a header of the request.
    Http(HeaderName),
    /// `$sent_http_NAME`: a header of the response.
    SentHttp(HeaderName),
    /// `$upstream_http_NAME`: a header of the response, where an upstream gave it.
    UpstreamHttp(HeaderName),
    /// `$status`.
    Status,
    /// `$upstream_status`: the status, where an upstream gave the response.
    UpstreamStatus,
    /// `$upstream_addr`: the addresses that attempts were made at.
    UpstreamAddr,
    /// `$proxy_add_x_forwarded_for`: the chain of a trusted proxy with the connection's address behind it, else that address alone.
    ProxyAddXForwardedFor,
    /// `$proxy_protocol_addr`.
    ProxyProtocolAddr,
    /// `$proxy_protocol_port`.
    ProxyProtocolPort,
    /// `$realip_remote_addr`: the address of the connection's other end.
    RealipRemoteAddr,
    /// `$realip_remote_port`.
    RealipRemotePort,
    /// `$ssl_protocol`.
    SslProtocol,
    /// `$ssl_cipher`.
    SslCipher,
    /// `$ssl_server_name`.
    SslServerName,
    /// `$ssl_client_s_dn`: the subject of the client's certificate.
    SslClientSDn,
    /// `$ssl_client_verify`: `SUCCESS` or `NONE`.
    SslClientVerify,
    /// `$msec`: the time in seconds since 1970, with milliseconds.
    Msec,
}

/// What variables are read from.
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    /// The context of the request.
    pub context: &'a Context,
    /// The head of the request.
    pub request: RequestHead<'a>,
    /// The status and the headers of the response, once there are any.
    pub response: Option<(StatusCode, &'a HeaderMap)>,
    /// Where attempts were made so far.
    pub upstream_addrs: &'a UpstreamAddrs,
}

impl Variable {
    /// The names of the variables that have no part of the name to choose, such as `http_NAME`; for messages.
    pub const NAMES: &[&str] = &[
        "host",
        "remote_addr",
        "remote_port",
        "remote_user",
        "scheme",
        "https",
        "server_addr",
        "server_port",
        "server_name",
        "server_protocol",
        "request",
        "request_method",
        "request_uri",
        "uri",
        "document_uri",
        "args",
        "query_string",
        "is_args",
        "request_id",
        "trace_id",
        "status",
        "upstream_status",
        "upstream_addr",
        "proxy_add_x_forwarded_for",
        "proxy_protocol_addr",
        "proxy_protocol_port",
        "realip_remote_addr",
        "realip_remote_port",
        "ssl_protocol",
        "ssl_cipher",
        "ssl_server_name",
        "ssl_client_s_dn",
        "ssl_client_verify",
        "msec",
        "content_type",
        "content_length",
    ];

    /// The variable of this name, without its dollar. `$http_`, `$sent_http_`, `$upstream_http_`, `$arg_` and `$cookie_` begin names
    /// of their own.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let header = |name: &str| HeaderName::try_from(name.replace('_', "-")).ok();
        if let Some(name) = name.strip_prefix("http_") {
            return header(name).map(Self::Http);
        }
        if let Some(name) = name.strip_prefix("sent_http_") {
            return header(name).map(Self::SentHttp);
        }
        if let Some(name) = name.strip_prefix("upstream_http_") {
            return header(name).map(Self::UpstreamHttp);
        }
        if let Some(name) = name.strip_prefix("arg_") {
            return (!name.is_empty()).then(|| Self::Arg(name.into()));
        }
        if let Some(name) = name.strip_prefix("cookie_") {
            return (!name.is_empty()).then(|| Self::Cookie(name.into()));
        }
        Some(match name {
            "host" => Self::Host,
            "remote_addr" => Self::RemoteAddr,
            "remote_port" => Self::RemotePort,
            "remote_user" => Self::RemoteUser,
            "scheme" => Self::Scheme,
            "https" => Self::Https,
            "server_addr" => Self::ServerAddr,
            "server_port" => Self::ServerPort,
            "server_name" => Self::ServerName,
            "server_protocol" => Self::ServerProtocol,
            "request" => Self::Request,
            "request_method" => Self::RequestMethod,
            "request_uri" => Self::RequestUri,
            "uri" | "document_uri" => Self::Uri,
            "args" | "query_string" => Self::Args,
            "is_args" => Self::IsArgs,
            "request_id" => Self::RequestId,
            "trace_id" | "otel_trace_id" => Self::TraceId,
            "status" => Self::Status,
            "upstream_status" => Self::UpstreamStatus,
            "upstream_addr" => Self::UpstreamAddr,
            "proxy_add_x_forwarded_for" => Self::ProxyAddXForwardedFor,
            "proxy_protocol_addr" => Self::ProxyProtocolAddr,
            "proxy_protocol_port" => Self::ProxyProtocolPort,
            "realip_remote_addr" => Self::RealipRemoteAddr,
            "realip_remote_port" => Self::RealipRemotePort,
            "ssl_protocol" => Self::SslProtocol,
            "ssl_cipher" => Self::SslCipher,
            "ssl_server_name" => Self::SslServerName,
            "ssl_client_s_dn" => Self::SslClientSDn,
            "ssl_client_verify" => Self::SslClientVerify,
            "msec" => Self::Msec,
            "content_type" => Self::Http(CONTENT_TYPE),
            "content_length" => Self::Http(CONTENT_LENGTH),
            _ => return None,
        })
    }

    /// Whether it is known only once there is a response.
    #[must_use]
    pub fn is_of_response(&self) -> bool {
        matches!(
            self,
            Self::SentHttp(_) | Self::UpstreamHttp(_) | Self::Status | Self::UpstreamStatus | Self::UpstreamAddr
        )
    }

    /// Appends its value; nothing where it has none.
    pub fn append(&self, out: &mut Vec<u8>, of: &Variables<'_>) {
        value::append(self, out, of);
    }
}
