//! The target that goes upstream where a route changes it. The record keeps the client's.

use http::Uri;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use crate::routes::normalize;

/// A target in place of the client's: path and query.
pub struct SentTarget {
    raw: Vec<u8>,
    uri: Uri,
    path: Box<str>,
}

impl SentTarget {
    /// This target; `None` where it is none.
    #[must_use]
    pub fn new(raw: Vec<u8>) -> Option<Self> {
        // Pingora's reading of it, which is that of a client's target
        let head = RequestHeader::build("GET", &raw, None).ok()?;
        let path = normalize(head.uri.path()).ok()?.into();
        Some(Self { uri: head.uri.clone(), path, raw })
    }

    /// It, parsed.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its path in the normal form: the one by which the request is understood.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Puts it into a head, and leaves the authority there.
    ///
    /// # Errors
    /// That the two do not fit together, which would be a fault of the gateway.
    pub fn write(&self, head: &mut RequestHeader) -> Result<()> {
        if head.uri.authority().is_none() {
            return head.set_raw_path(&self.raw);
        }
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query = self.uri.path_and_query().cloned();
        let uri = Uri::from_parts(parts);
        head.set_uri(uri.map_err(|error| Error::because(ErrorType::InternalError, "changing the target", error))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_takes_the_place_of_the_clients_and_keeps_its_bytes() {
        let target = SentTarget::new(b"/v1//a%2Fb?x=%20".to_vec()).unwrap();
        assert_eq!((target.path(), target.uri().query()), ("/v1/a/b", Some("x=%20")));
        let mut head = RequestHeader::build("GET", b"/openai/v1//a%2Fb?x=%20", None).unwrap();
        target.write(&mut head).unwrap();
        assert_eq!(head.raw_path(), b"/v1//a%2Fb?x=%20");
        head.set_uri("https://a.test/openai".parse().unwrap());
        target.write(&mut head).unwrap();
        assert_eq!(head.uri, "https://a.test/v1//a%2Fb?x=%20");
    }

    #[test]
    fn bytes_that_are_no_text_are_sent_as_they_are() {
        let target = SentTarget::new(b"/\xff".to_vec()).unwrap();
        let mut head = RequestHeader::build("GET", b"/a", None).unwrap();
        target.write(&mut head).unwrap();
        assert_eq!((head.raw_path(), target.path()), (&b"/\xff"[..], "/\u{fffd}"));
    }
}
