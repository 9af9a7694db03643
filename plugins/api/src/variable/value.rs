//! The values of variables.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, Version};

use super::{Variable, Variables};

/// The header to which proxies append the addresses of those that ask them.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Appends the value of a variable.
pub(super) fn append(variable: &Variable, out: &mut Vec<u8>, of: &Variables<'_>) {
    let (context, request) = (of.context, &of.request);
    let connection = context.connection();
    match variable {
        Variable::Host => append_host(out, of),
        Variable::RemoteAddr => append_shown(out, context.client),
        Variable::RemotePort => {
            let port = connection.client().filter(|address| Some(address.ip()) == context.client);
            append_shown(out, port.map(|address| address.port()));
        }
        Variable::RemoteUser => append_text(out, context.principal().key_name.as_deref()),
        Variable::Scheme => append_text(out, Some(if connection.tls.is_some() { "https" } else { "http" })),
        Variable::Https => append_text(out, connection.tls.as_ref().map(|_| "on")),
        Variable::ServerAddr => append_shown(out, connection.local.map(|address| address.ip())),
        Variable::ServerPort => append_shown(out, connection.local.map(|address| address.port())),
        Variable::ServerName => append_text(out, Some(request.server_name)),
        Variable::ServerProtocol => append_text(out, Some(protocol(request.version))),
        Variable::Request => {
            out.extend_from_slice(request.method.as_str().as_bytes());
            out.push(b' ');
            out.extend_from_slice(request.target);
            out.push(b' ');
            append_text(out, Some(protocol(request.version)));
        }
        Variable::RequestMethod => append_text(out, Some(request.method.as_str())),
        Variable::RequestUri => out.extend_from_slice(request.request_uri()),
        Variable::Uri => append_text(out, Some(request.path)),
        Variable::Args => out.extend_from_slice(request.query().unwrap_or_default()),
        Variable::IsArgs => append_text(out, request.query().filter(|query| !query.is_empty()).map(|_| "?")),
        Variable::Arg(name) => out.extend_from_slice(argument(request.query().unwrap_or_default(), name)),
        Variable::Cookie(name) => out.extend_from_slice(cookie(request.headers, name)),
        Variable::RequestId => append_shown(out, Some(context.id)),
        Variable::TraceId => append_shown(out, context.trace.as_ref().map(|trace| trace.id)),
        Variable::Http(name) => append_header(out, request.headers, name),
        Variable::SentHttp(name) => {
            if let Some((_, headers)) = of.response {
                append_header(out, headers, name);
            }
        }
        Variable::UpstreamHttp(name) => {
            if let Some((_, headers)) = of.response.filter(|_| of.upstream_addrs.last().is_some()) {
                append_header(out, headers, name);
            }
        }
        Variable::Status => append_shown(out, of.response.map(|(status, _)| status.as_u16())),
        Variable::UpstreamStatus => {
            let response = of.response.filter(|_| of.upstream_addrs.last().is_some());
            append_shown(out, response.map(|(status, _)| status.as_u16()));
        }
        Variable::UpstreamAddr => of.upstream_addrs.append(out),
        Variable::ProxyAddXForwardedFor => {
            let before = out.len();
            if context.peer_is_trusted {
                append_header(out, request.headers, &X_FORWARDED_FOR);
            }
            let separator = if out.len() == before { "" } else { ", " };
            if let Some(end) = connection.client().map(|address| address.ip()).or(context.client) {
                // a vector takes all bytes
                let _ = write!(out, "{separator}{end}");
            }
        }
        Variable::ProxyProtocolAddr => append_shown(out, connection.proxied.map(|address| address.ip())),
        Variable::ProxyProtocolPort => append_shown(out, connection.proxied.map(|address| address.port())),
        Variable::RealipRemoteAddr => append_shown(out, connection.peer.map(|address| address.ip())),
        Variable::RealipRemotePort => append_shown(out, connection.peer.map(|address| address.port())),
        Variable::SslProtocol => append_text(out, connection.tls.as_ref().map(|tls| tls.protocol)),
        Variable::SslCipher => append_text(out, connection.tls.as_ref().and_then(|tls| tls.cipher)),
        Variable::SslServerName => append_text(out, connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref())),
        Variable::SslClientSDn => {
            let client = connection.tls.as_ref().and_then(|tls| tls.client.as_ref());
            append_text(out, client.map(|client| &*client.subject));
        }
        Variable::SslClientVerify => {
            let verified = |client: bool| if client { "SUCCESS" } else { "NONE" };
            append_text(out, connection.tls.as_ref().map(|tls| verified(tls.client.is_some())));
        }
        Variable::Msec => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // a vector takes all bytes
            let _ = write!(out, "{}.{:03}", now.as_secs(), now.subsec_millis());
        }
    }
}

fn append_text(out: &mut Vec<u8>, text: Option<&str>) {
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

fn append_shown(out: &mut Vec<u8>, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        // a vector takes all bytes
        let _ = write!(out, "{value}");
    }
}

/// The host asked for; where the client names none, the name of the server that took the request.
fn append_host(out: &mut Vec<u8>, of: &Variables<'_>) {
    let host = if of.request.host.is_empty() { of.request.server_name } else { of.request.host };
    out.extend(host.bytes().map(|byte| byte.to_ascii_lowercase()));
}

/// All values of a header, joined as if they were one; cookies with semicolons.
fn append_header(out: &mut Vec<u8>, headers: &HeaderMap, name: &HeaderName) {
    let separator: &[u8] = if name == COOKIE { b"; " } else { b", " };
    for (at, value) in headers.get_all(name).iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(value.as_bytes());
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// The first parameter of this name, in any case, with an equals sign.
fn argument<'a>(query: &'a [u8], name: &str) -> &'a [u8] {
    let mut pairs = query.split(|byte| *byte == b'&');
    pairs.find_map(|pair| value_of(pair, name)).unwrap_or_default()
}

/// The first cookie of this name, in any case.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> &'a [u8] {
    let lines = headers.get_all(COOKIE).iter().map(|line| line.as_bytes());
    let mut cookies = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    cookies.find_map(|pair| value_of(pair.trim_ascii(), name)).unwrap_or_default()
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    pair[..equals].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()).then(|| &pair[equals + 1..])
}
