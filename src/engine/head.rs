//! The head of a request in Pingora's hands, as admission looks at it.

use http::header::{COOKIE, HOST};
use http::{HeaderValue, Version};
use pingora_error::Result;
use pingora_proxy::Session;

use crate::exchange::admission::{HeadSize, check_framing, check_host, check_values, target_authority};
use crate::exchange::cookies;
use crate::exchange::header_flags::HeaderFlags;
use crate::exchange::request_line::{AsSent, NOT_PLAIN, check_unread};

use super::connection::Connection;

/// How large the head of this request is.
#[must_use]
pub fn size(session: &Session) -> HeadSize {
    let head = session.req_header();
    match head.version {
        Version::HTTP_2 => HeadSize::of_h2(&head.uri, &head.headers),
        _ => HeadSize::of_h1(session.downstream_session.to_h1_raw().len(), head.headers.len()),
    }
}

/// What the request's line said and Pingora was not told. A host that only the line names becomes that of the request, as HTTP/1.0 allows.
///
/// # Errors
/// That the host is no header, which would be a fault of the gateway.
pub fn take_as_sent(session: &mut Session) -> Result<Option<AsSent>> {
    let Some(as_sent) = connection(session).and_then(Connection::take_as_sent) else { return Ok(None) };
    let head = session.req_header_mut();
    if let Some((authority, _)) = &as_sent.authority
        && head.version == Version::HTTP_10
        && !head.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_bytes(authority)
    {
        head.insert_header(HOST, host)?;
    }
    Ok(Some(as_sent))
}

/// Makes a head that was read what the rest of the gateway, and an upstream, expects of one.
///
/// # Errors
/// That the cookies are no header, which would be a fault of the gateway.
pub fn make_plain(session: &mut Session, flags: HeaderFlags) -> Result<()> {
    match session.req_header().version {
        // it has no 1xx (RFC 9110 §15.2)
        Version::HTTP_10 => session.downstream_session.set_ignore_info_resp(true),
        Version::HTTP_2 if flags.cookies > 1 => {
            let head = session.req_header_mut();
            if let Some(cookies) = cookies::joined(head.headers.get_all(COOKIE).iter()) {
                head.insert_header(COOKIE, cookies)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Refuses a head that two parsers could read in two ways. `came` says whether it began with bytes of its own, and not behind the request
/// before it.
///
/// # Errors
/// The fault, as a message for the client.
pub fn admit(session: &Session, flags: HeaderFlags, came: bool, as_sent: Option<&AsSent>) -> Result<(), &'static str> {
    let head = session.req_header();
    check_line(session, came, as_sent)?;
    check_host(head.version, &head.headers, flags, target_authority(head.version, &head.uri, as_sent))?;
    if head.version == Version::HTTP_2 {
        check_values(&head.headers)?;
    }
    check_framing(head.version, &head.headers, flags, || session.downstream_session.to_h1_raw())
}

/// Refuses a request whose first line was not looked at before Pingora parsed it, if that matters. So it is with one whose head came behind
/// the request before it, or began there: then what was taken for its first line may be another.
fn check_line(session: &Session, came: bool, as_sent: Option<&AsSent>) -> Result<(), &'static str> {
    if as_sent.is_some_and(|as_sent| *as_sent.given != *session.req_header().raw_path()) {
        return Err(NOT_PLAIN);
    }
    let Some(connection) = connection(session) else { return Ok(()) };
    let raw = session.downstream_session.to_h1_raw();
    if came && connection.head_bytes() >= raw.len() { Ok(()) } else { check_unread(&raw) }
}

fn connection(session: &Session) -> Option<&Connection> {
    session.downstream_session.as_http1().and_then(|http1| Connection::of(http1.stream()))
}
