//! The headers that say for whom a request is forwarded: a client's own are replaced, a trusted proxy's are gone on with.

use http::header::{FORWARDED, HOST};
use http::{HeaderName, HeaderValue};
use pingora_error::Result;
use pingora_http::RequestHeader;

use crate::exchange::forwarded::{address_text, forwarded_element, is_of_forwarding, joined, port_text};

use super::ctx::Exchange;
use super::forward::internal;

const X_FORWARDED_FOR: &str = "X-Forwarded-For";
/// The scheme that the client spoke.
pub(super) const X_FORWARDED_PROTO: &str = "X-Forwarded-Proto";
/// The host that the client asked.
pub(super) const X_FORWARDED_HOST: &str = "X-Forwarded-Host";
const X_FORWARDED_PORT: &str = "X-Forwarded-Port";
const X_REAL_IP: &str = "X-Real-IP";
const X_REQUEST_ID: &str = "X-Request-Id";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How many bytes the lines of a client usually take.
const LINES: usize = 384;

/// Adds them to the head that goes upstream, which still has the client's headers.
///
/// # Errors
/// A value is none of a header, which would be a fault of the gateway.
pub fn write(head: &mut RequestHeader, ctx: &Exchange) -> Result<()> {
    let host = match head.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()),
    };
    if ctx.flags.forwarding {
        if ctx.record.context.peer_is_trusted {
            go_on(head, host, ctx)?;
            return request_id(ctx, |name, value| append(head, name, value));
        }
        let claims: Vec<HeaderName> =
            head.headers.keys().filter(|name| is_of_forwarding(name.as_str())).cloned().collect();
        for name in &claims {
            head.remove_header(name);
        }
    }
    let Some(connector) = ctx.connector.as_ref().filter(|_| !is_edited(ctx)) else {
        return each(host.as_ref(), ctx, |name, value| append(head, name, value));
    };
    // Pingora's head would read each name anew, and hash it twice: that takes ten times as long
    let mut lines = Vec::with_capacity(LINES);
    each(host.as_ref(), ctx, |name, value| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            lines.extend_from_slice(part);
        }
        Ok(())
    })?;
    connector.add_to_head(lines);
    Ok(())
}

/// Whether a plugin, or the settings of the upstream, say something else of one of them.
fn is_edited(ctx: &Exchange) -> bool {
    let is_ours = |name: &HeaderName| is_of_forwarding(name.as_str()) || name == REQUEST_ID;
    let upstream = ctx.attempts.as_ref().map(|attempts| attempts.upstream().index);
    let mut of_upstream = upstream.into_iter().flat_map(|index| ctx.snapshot.peers[index].headers().iter());
    of_upstream.any(|(name, _)| is_ours(name)) || ctx.request_edits.iter().any(|edit| is_ours(edit.name()))
}

/// Adds those of a client that no proxy speaks for.
fn each(
    host: Option<&HeaderValue>,
    ctx: &Exchange,
    mut add: impl FnMut(&'static str, &[u8]) -> Result<()>,
) -> Result<()> {
    let tls = ctx.record.context.connection().tls.is_some();
    let proto = if tls { "https" } else { "http" };
    let peer = ctx.peer_text.as_ref().map(HeaderValue::as_bytes);
    if let Some(peer) = peer {
        add(X_FORWARDED_FOR, peer)?;
        add(X_REAL_IP, peer)?;
    }
    add(X_FORWARDED_PROTO, proto.as_bytes())?;
    add(X_FORWARDED_PORT, port_text(host, tls).as_bytes())?;
    let host = host.map(HeaderValue::as_bytes);
    add("Forwarded", &forwarded_element(peer.unwrap_or(b"unknown"), host, proto.as_bytes()))?;
    if let Some(host) = host {
        add(X_FORWARDED_HOST, host)?;
    }
    request_id(ctx, add)
}

fn append(head: &mut RequestHeader, name: &'static str, value: &[u8]) -> Result<()> {
    let value = HeaderValue::from_bytes(value).map_err(|_| internal("forwarded header"))?;
    head.append_header(name, value).map(drop)
}

/// Goes on with what a trusted proxy says: its chains get one more element, and what it does not say is added.
fn go_on(head: &mut RequestHeader, host: Option<HeaderValue>, ctx: &Exchange) -> Result<()> {
    let (context, peer) = (&ctx.record.context, ctx.peer_text.as_ref());
    let client = match context.client {
        Some(client) if context.connection().client().is_some_and(|peer| peer.ip() != client) => {
            Some(address_text(client))
        }
        _ => peer.cloned(),
    };
    if let (Some(client), Some(peer)) = (&client, peer) {
        let chain = if head.headers.contains_key(X_FORWARDED_FOR) {
            joined(head.headers.get_all(X_FORWARDED_FOR), peer.as_bytes())
        } else if client == peer {
            Ok(peer.clone())
        } else {
            joined([client], peer.as_bytes())
        };
        head.insert_header(X_FORWARDED_FOR, chain.map_err(|_| internal("forwarded header"))?)?;
        head.insert_header(X_REAL_IP, client.clone())?;
    }
    let proto = said(head, X_FORWARDED_PROTO, || {
        Some(HeaderValue::from_static(if context.connection().tls.is_some() { "https" } else { "http" }))
    })?;
    let host = said(head, X_FORWARDED_HOST, || host)?;
    let is_https = proto.as_ref().is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    said(head, X_FORWARDED_PORT, || Some(port_text(host.as_ref(), is_https)))?;
    let has_chain = head.headers.contains_key(FORWARDED);
    let hop = if has_chain { peer } else { client.as_ref() };
    let element = forwarded_element(
        hop.map_or(b"unknown", HeaderValue::as_bytes),
        host.as_ref().map(HeaderValue::as_bytes),
        proto.as_ref().filter(|proto| is_token(proto)).map_or(b"http", HeaderValue::as_bytes),
    );
    let chain = joined(head.headers.get_all(FORWARDED), &element);
    head.insert_header("Forwarded", chain.map_err(|_| internal("forwarded header"))?)
}

/// What a header says; where it says nothing, it is set to what is known here.
fn said(
    head: &mut RequestHeader,
    name: &'static str,
    known: impl FnOnce() -> Option<HeaderValue>,
) -> Result<Option<HeaderValue>> {
    if let Some(value) = head.headers.get(name) {
        return Ok(Some(value.clone()));
    }
    let value = known();
    if let Some(value) = value.clone() {
        head.append_header(name, value)?;
    }
    Ok(value)
}

fn is_token(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_alphanumeric)
}

/// Gives a request that has no id its id here.
fn request_id(ctx: &Exchange, mut add: impl FnMut(&'static str, &[u8]) -> Result<()>) -> Result<()> {
    if ctx.flags.request_id {
        return Ok(());
    }
    let mut text = plugin_api::Uuid::encode_buffer();
    let id: &str = ctx.record.context.id.hyphenated().encode_lower(&mut text);
    add(X_REQUEST_ID, id.as_bytes())
}
