//! The head that goes upstream: the client's, with a proxy's headers added, and the edits of plugins and of the upstream's settings made.

use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, RANGE, SEC_WEBSOCKET_EXTENSIONS, TRANSFER_ENCODING,
};
use http::{HeaderValue, Version};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use plugin_api::HeaderEdit;

use crate::exchange::buffered_body::BufferedBody;
use crate::exchange::forwarded::{address_text, joined};
use crate::exchange::header_flags::HeaderFlags;

use super::ctx::Exchange;
use super::transform;
use super::upstream::ConnectionUse;

const FORWARDED_FOR: &str = "X-Forwarded-For";
const FORWARDED_PROTO: &str = "X-Forwarded-Proto";
const FORWARDED_HOST: &str = "X-Forwarded-Host";
const REQUEST_ID: &str = "X-Request-Id";

/// Makes the head that goes upstream out of the client's.
pub fn write_head(session: &Session, head: &mut RequestHeader, ctx: &mut Exchange) -> Result<()> {
    if !matches!(head.raw_path(), [b'/', ..] | b"*") {
        // absolute-form is for proxies (RFC 9112 §3.2.2); `Host`, which says the same, goes with the path
        head.set_uri(head.uri.clone());
    }
    if let Some(target) = ctx.realtime_model.as_ref().and_then(|model| model.target(&head.uri)) {
        head.set_uri(target);
    }
    forward(session, head, ctx)?;
    for edit in ctx.request_edits.iter() {
        match edit {
            HeaderEdit::Set(name, value) => head.insert_header(name.clone(), value.clone())?,
            HeaderEdit::Append(name, value) => {
                head.append_header(name.clone(), value.clone())?;
            }
            HeaderEdit::Remove(name) => {
                head.remove_header(name);
            }
        }
    }
    let Some(attempts) = &ctx.attempts else { return Err(internal("no upstream was chosen")) };
    let peers = &ctx.snapshot.peers[attempts.upstream().index];
    for (name, value) in peers.headers().iter() {
        match value {
            Some(value) => head.insert_header(name.clone(), value.clone())?,
            None => drop(head.remove_header(name)),
        }
    }
    if let Some(lease) = attempts.lease() {
        if let Some(host) = peers.host(lease) {
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
        let limits = attempts.upstream().timeouts.of_attempt(ctx.snapshot.limits.body_timeout);
        ctx.timer.awaits_response(limits, ctx.connection);
    }
    Ok(())
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

/// Adds for whom the request is forwarded, behind the values of proxies before this one.
fn forward(session: &Session, head: &mut RequestHeader, ctx: &Exchange) -> Result<()> {
    let host = match head.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()),
    };
    if let Some(client) = ctx.record.context.client {
        append(head, FORWARDED_FOR, address_text(client), ctx.flags.forwarded_for)?;
    }
    let tls = ctx.record.context.connection().tls.is_some();
    let proto = HeaderValue::from_static(if tls { "https" } else { "http" });
    append(head, FORWARDED_PROTO, proto, ctx.flags.forwarded_proto)?;
    if let Some(host) = host {
        append(head, FORWARDED_HOST, host, ctx.flags.forwarded_host)?;
    }
    if !ctx.flags.request_id {
        let mut text = plugin_api::Uuid::encode_buffer();
        let id: &str = ctx.record.context.id.hyphenated().encode_lower(&mut text);
        head.append_header(REQUEST_ID, HeaderValue::from_str(id).map_err(|_| internal("request id"))?)?;
    }
    Ok(())
}

fn append(head: &mut RequestHeader, name: &'static str, value: HeaderValue, present: bool) -> Result<()> {
    if !present {
        return head.append_header(name, value).map(drop);
    }
    let value = joined(head.headers.get_all(name), &value).map_err(|_| internal("forwarded header"))?;
    head.insert_header(name, value)
}

fn internal(what: &'static str) -> Box<Error> {
    Error::explain(ErrorType::InternalError, what)
}
