//! The head that goes upstream: the client's, with a proxy's headers added, and the edits of plugins and of the upstream's settings made.

use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, RANGE, SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use plugin_api::{HeaderEdit, is_of_connection};

use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::forwarded::is_of_forwarding;
use crate::exchange::header_flags::HeaderFlags;
use crate::exchange::header_names::HeaderNames;
use crate::exchange::hop_by_hop;
use crate::exchange::upstream::Upstream;

use super::ctx::Exchange;
use super::forwarding;
use super::tls_socket;
use super::tracing;
use super::transform;
use super::upstream::ConnectionUse;

/// Makes the head that goes upstream out of the client's.
pub fn write_head(head: &mut RequestHeader, ctx: &mut Exchange) -> Result<()> {
    if !matches!(head.raw_path(), [b'/', ..] | b"*") {
        // absolute-form is for proxies (RFC 9112 §3.2.2); `Host`, which says the same, goes with the path
        head.set_uri(head.uri.clone());
    }
    if let Some(target) = &ctx.sent_target {
        target.write(head)?;
    } else if let Some(raw) = ctx.raw_target.as_ref().filter(|_| head.version != Version::HTTP_2) {
        head.set_raw_path(raw)?;
    }
    if let Some(target) = ctx.realtime_model.as_ref().and_then(|model| model.target(&head.uri)) {
        head.set_uri(target);
    }
    if ctx.flags.odd_name {
        leave_out(head, &ctx.snapshot.header_names);
    }
    if ctx.plugin_request.is_none() {
        forwarding::write(head, ctx)?;
        tracing::write(head, ctx)?;
    }
    let host_is_set = edit(head, ctx)?;
    let Some(attempts) = &ctx.attempts else { return Err(internal("no upstream was chosen")) };
    let peers = &ctx.snapshot.peers[attempts.upstream().index];
    for (name, value) in peers.headers().iter() {
        match value {
            Some(value) => head.insert_header(name.clone(), value.clone())?,
            None => drop(head.remove_header(name)),
        }
    }
    if let Some(lease) = attempts.lease() {
        if let Some(host) = peers.host(lease).filter(|_| !host_is_set) {
            head.insert_header(HOST, host.clone())?;
        } else if ctx.flags.hosts == 0 && !head.headers.contains_key(HOST) && head.uri.authority().is_none() {
            // HTTP/1.0 may do without `Host`; HTTP/1.1, which goes upstream, may not
            let address = HeaderValue::from_str(lease.server().address());
            head.insert_header(HOST, address.map_err(|_| internal("server address"))?)?;
        }
    }
    if ctx.flags.expect {
        // it has been answered here
        head.remove_header(&EXPECT);
    }
    let transforms = transform::is_possible(ctx);
    if ctx.adds_stream_usage || transforms {
        // a response can only be changed in plain text
        head.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
    }
    if transforms {
        // a plugin that looks at all of a body must not be shown a part of it
        head.remove_header(&RANGE);
    }
    if ctx.websocket_endpoint.is_some() {
        // its messages are read, and a compressed one depends on all before it, those included that are refused
        head.remove_header(&SEC_WEBSOCKET_EXTENSIONS);
    }
    if let Some(body) = &mut ctx.body {
        body.attempt();
        frame(head, body, ctx.flags)?;
    }
    // on a connection that several requests share Pingora keeps the time itself
    if head.version == Version::HTTP_11 || ctx.connection_use == ConnectionUse::Exclusive {
        let limits = ctx.timeouts_of(attempts.upstream()).of_attempt(ctx.snapshot.limits.body_timeout);
        ctx.timer.awaits_response(limits, ctx.connection);
        if ctx.is_reused && head.version == Version::HTTP_11 {
            ctx.acknowledged = tls_socket::acknowledged(ctx.connection);
        }
    }
    if let Some(connector) = ctx.connector.as_ref().filter(|_| sends_body(head)) {
        connector.hold();
    }
    Ok(())
}

/// Makes the edits of plugins. Returns whether they set the host.
fn edit(head: &mut RequestHeader, ctx: &Exchange) -> Result<bool> {
    let mut host_is_set = false;
    for edit in ctx.request_edits.iter() {
        match edit {
            HeaderEdit::Set(name, value) if name == HOST => {
                // the names of other upstreams are not the plugins' to know
                host_is_set = is_of_route(ctx);
                if host_is_set {
                    head.insert_header(name.clone(), value.clone())?;
                }
            }
            HeaderEdit::Set(name, value) => head.insert_header(name.clone(), value.clone())?,
            HeaderEdit::Append(name, value) => {
                head.append_header(name.clone(), value.clone())?;
            }
            HeaderEdit::Remove(name) => {
                head.remove_header(name);
            }
        }
    }
    Ok(host_is_set)
}

/// The client's headers as they go upstream, without those that the gateway adds or replaces for each attempt, and without those of the
/// connection and of forwarding.
///
/// # Errors
/// A value is none of a header, which would be a fault of the gateway.
pub fn headers(head: &RequestHeader, ctx: &Exchange) -> Result<HeaderMap> {
    let mut head = head.clone();
    if ctx.flags.odd_name {
        leave_out(&mut head, &ctx.snapshot.header_names);
    }
    let mut left_out = hop_by_hop::names(&head.headers, false);
    let is_remade = |name: &&HeaderName| is_of_connection(name.as_str()) || is_of_forwarding(name.as_str());
    left_out.extend(head.headers.keys().filter(is_remade).cloned());
    for name in &left_out {
        head.remove_header(name);
    }
    if !head.headers.contains_key(HOST)
        && let Some(authority) = head.uri.authority().map(|authority| authority.as_str().to_owned())
    {
        head.insert_header(HOST, authority)?;
    }
    edit(&mut head, ctx)?;
    let mut headers = head.as_owned_parts().headers;
    if let Some(attempts) = &ctx.attempts {
        // those that a fallback gets of the client's stay
        let of = |upstream: &Upstream| ctx.snapshot.peers[upstream.index].headers();
        for (name, _) in of(attempts.upstream()).iter() {
            if attempts.upstream().chain().all(|upstream| of(upstream).iter().any(|(own, _)| own == name)) {
                headers.remove(name);
            }
        }
    }
    Ok(headers)
}

/// Whether a body of a known length follows the head.
fn sends_body(head: &RequestHeader) -> bool {
    head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// Whether the present attempt is at the route's own upstream: none of its `models`, and no fallback.
fn is_of_route(ctx: &Exchange) -> bool {
    let own = ctx.route.as_ref().and_then(|route| Some(route.upstream()?.upstream.index));
    own.is_some() && own == ctx.attempts.as_ref().map(|attempts| attempts.upstream().index)
}

/// Leaves out headers whose names do not pass.
fn leave_out(head: &mut RequestHeader, names: &HeaderNames) {
    let odd: Vec<HeaderName> = head.headers.keys().filter(|name| !names.pass(name)).cloned().collect();
    for name in &odd {
        head.remove_header(name);
    }
}

/// Frames a body that was read here by the bytes that are really sent.
fn frame(head: &mut RequestHeader, body: &BufferedBody, flags: HeaderFlags) -> Result<()> {
    if flags.transfer_encoding {
        head.remove_header(&TRANSFER_ENCODING);
    }
    if body.edited && flags.content_encoding {
        head.remove_header(&CONTENT_ENCODING);
    }
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length != Some(body.bytes.len()) {
        head.insert_header(CONTENT_LENGTH, HeaderValue::from(body.bytes.len()))?;
    }
    Ok(())
}

/// A fault of the gateway.
pub(super) fn internal(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, what)
}
