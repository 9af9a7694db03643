//! The head of a request in Pingora's hands, as admission looks at it.

use http::header::{COOKIE, HOST};
use http::{HeaderValue, Version};
use pingora_error::Result;
use pingora_proxy::Session;

use crate::exchange::admission::{HeadSize, check_authority, check_framing, check_host, check_values};
use crate::exchange::cookies;
use crate::exchange::header_flags::HeaderFlags;
use crate::exchange::request_line::{AsSent, NOT_PLAIN, check_unread};

use super::body;
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

/// Tells the connection of an HTTP/1.1 request that is over how many bytes it had.
pub fn took(session: &Session) {
    if let Some(connection) = connection(session) {
        let head = session.downstream_session.to_h1_raw().len();
        connection.took((head + body::length(session).unwrap_or(0)) as u64);
    }
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

/// Refuses a head that two parsers could read in two ways.
///
/// # Errors
/// The fault, as a message for the client.
pub fn admit(session: &Session, flags: HeaderFlags, as_sent: Option<&AsSent>) -> Result<(), &'static str> {
    let head = session.req_header();
    check_line(session, as_sent)?;
    check_host(head.version, &head.headers, flags, as_sent)?;
    if head.version == Version::HTTP_2 {
        check_authority(&head.uri)?;
        check_values(&head.headers)?;
    }
    check_framing(head.version, &head.headers, flags, || session.downstream_session.to_h1_raw())
}

/// Refuses a request whose first line was not looked at before Pingora parsed it, if that matters. So it is with one whose head came behind
/// the request before it, or began there: then what was taken for its first line may be another. A line that was looked at is plain by now.
fn check_line(session: &Session, as_sent: Option<&AsSent>) -> Result<(), &'static str> {
    if session.downstream_session.as_http1().is_none() {
        return Ok(());
    }
    if as_sent.is_some_and(|as_sent| *as_sent.given != *session.req_header().raw_path()) {
        return Err(NOT_PLAIN);
    }
    check_unread(&session.downstream_session.to_h1_raw())
}

/// The client's connection, if it speaks HTTP/1.1.
pub fn connection(session: &Session) -> Option<&Connection> {
    session.downstream_session.as_http1().and_then(|http1| Connection::of(http1.stream()))
}
