//! Makes redirects of a server to itself lead to the address that the client asked, where the upstream's settings say so.

use http::header::{HOST, LOCATION, REFRESH};
use http::{HeaderName, HeaderValue};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::exchange::redirects::OwnAddresses;

use super::ctx::Exchange;
use super::forwarding::{X_FORWARDED_HOST, X_FORWARDED_PROTO};

/// Changes the head of a response that goes to the client.
///
/// # Errors
/// The result is no header, which would be a fault of the gateway.
pub fn make_own(session: &Session, head: &mut ResponseHeader, ctx: &Exchange) -> Result<()> {
    let attempts = ctx.attempts.as_ref();
    let lease = attempts.and_then(|attempts| Some((attempts.upstream().index, attempts.lease()?)));
    let Some(own) = lease.and_then(|(index, lease)| ctx.snapshot.peers[index].redirects(lease)) else { return Ok(()) };
    change(head, LOCATION, |value, base| own.location(value, base), || base(session, ctx))?;
    change(head, REFRESH, |value, base| OwnAddresses::refresh(own, value, base), || base(session, ctx))
}

fn change(
    head: &mut ResponseHeader,
    name: HeaderName,
    changed: impl FnOnce(&[u8], &[u8]) -> Option<Vec<u8>>,
    base: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<()> {
    let Some(value) = head.headers.get(&name) else { return Ok(()) };
    let Some(changed) = base().and_then(|base| changed(value.as_bytes(), &base)) else { return Ok(()) };
    match HeaderValue::from_bytes(&changed) {
        Ok(value) => head.insert_header(name, value),
        // it is made of two values of headers
        Err(_) => Ok(()),
    }
}

/// What the client asked: `https://llm.example:8443`, and the prefix that its route takes off the path; as a trusted proxy says it, else by its connection and `Host`.
fn base(session: &Session, ctx: &Exchange) -> Option<Vec<u8>> {
    let (head, context) = (session.req_header(), &ctx.record.context);
    let believed = |name: &str| head.headers.get(name).filter(|_| context.peer_is_trusted).map(HeaderValue::as_bytes);
    let scheme = believed(X_FORWARDED_PROTO).filter(|scheme| matches!(*scheme, b"http" | b"https"));
    let scheme = scheme.unwrap_or(if context.connection().tls.is_some() { b"https".as_slice() } else { b"http" });
    let host = head.headers.get(HOST).map(HeaderValue::as_bytes);
    let host = host.or_else(|| head.uri.authority().map(|authority| authority.as_str().as_bytes()));
    let host = believed(X_FORWARDED_HOST).or(host)?;
    Some([scheme, b"://".as_slice(), host, taken_off(ctx).as_bytes()].concat())
}

/// The prefix that the route has taken off the path: the server does not know that it stands in front of its own.
fn taken_off(ctx: &Exchange) -> &str {
    let target = ctx.route.as_ref().and_then(|route| route.upstream()).filter(|_| ctx.sent_target.is_some());
    target.and_then(|target| target.path_change.as_ref()?.prefix()).unwrap_or_default()
}
