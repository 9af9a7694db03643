//! The head of a request in Pingora's hands, as admission looks at it.

use http::Version;
use pingora_proxy::Session;

use crate::exchange::admission::{HeadSize, check_framing};
use crate::exchange::header_flags::HeaderFlags;

/// How large the head of this request is.
#[must_use]
pub fn size(session: &Session) -> HeadSize {
    let head = session.req_header();
    match head.version {
        Version::HTTP_2 => HeadSize::of_h2(&head.uri, &head.headers),
        _ => HeadSize::of_h1(session.downstream_session.to_h1_raw().len(), head.headers.len()),
    }
}

/// Refuses a head that two parsers could read in two ways.
///
/// # Errors
/// The fault, as a message for the client.
pub fn admit(session: &Session, flags: HeaderFlags) -> Result<(), &'static str> {
    let head = session.req_header();
    check_framing(head.version, &head.headers, flags, || session.downstream_session.to_h1_raw())
}
