//! A response that a plugin cuts. The attempt ends by an error at once, so that the server's stream is reset however silent the server
//! is; the part of the response that Pingora has not written by then is written here, with a proper end.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Version};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::recording::written;
use super::reply;

/// The part of a response that has been through the plugins, and that Pingora may not have written to the client yet. Pingora takes
/// several pieces from the server at once, and drops all of them if one is an error.
#[derive(Default)]
pub struct Unwritten {
    head: Option<Box<ResponseHeader>>,
    /// The pieces of the body, in order.
    pieces: Vec<Bytes>,
    /// Bytes of the body, up to the end of the last piece.
    end: u64,
}

impl Unwritten {
    /// Adds the head, which is about to be written.
    pub fn add_head(&mut self, head: &ResponseHeader) {
        self.head = Some(Box::new(head.clone()));
    }

    /// Adds a piece of the body, which is about to be written. `written` bytes of the body have been written.
    pub fn add(&mut self, piece: Bytes, written: u64) {
        if self.end <= written {
            self.pieces.clear();
        }
        self.end += piece.len() as u64;
        self.pieces.push(piece);
    }

    /// The pieces that remain once so many bytes of the body have been written. Pingora writes a piece whole or fails.
    fn remaining(self, written: u64) -> impl Iterator<Item = Bytes> {
        let total: u64 = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        let mut end = self.end - total;
        self.pieces.into_iter().filter(move |piece| {
            end += piece.len() as u64;
            end > written
        })
    }

    /// Writes what remains of the response, and its end.
    ///
    /// # Errors
    /// The client left.
    pub async fn write(mut self, session: &mut Session) -> Result<()> {
        if let Some(head) = self.head.take().filter(|_| written(session).is_none()) {
            write_head(session, *head).await?;
        }
        let sent = session.body_bytes_sent() as u64;
        for piece in self.remaining(sent).filter(|piece| !piece.is_empty()) {
            session.write_response_body(Some(piece), false).await.map_err(|e| e.into_down())?;
        }
        reply::end(session).await
    }
}

/// Writes a head that Pingora has dropped, framed as Pingora would have framed it.
async fn write_head(session: &mut Session, mut head: ResponseHeader) -> Result<()> {
    if head.version == Version::HTTP_2 {
        head.set_version(Version::HTTP_11);
        let chunked = session.req_header().version == Version::HTTP_11 && !head.headers.contains_key(CONTENT_LENGTH);
        if chunked {
            head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
        }
    }
    session.write_response_header(Box::new(head), false).await.map_err(|e| e.into_down())
}

/// The error that ends the attempt of a response that a plugin has cut. It is the client's side that ends it, so Pingora resets the
/// server's stream.
pub fn end_attempt() -> Box<Error> {
    Error::explain(ErrorType::ConnectionClosed, "a plugin cut the response").into_down()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remaining(unwritten: Unwritten, written: u64) -> Vec<Bytes> {
        unwritten.remaining(written).collect()
    }

    #[test]
    fn only_pieces_that_were_not_written_remain() {
        let unwritten = |writes: &[u64]| {
            let mut unwritten = Unwritten::default();
            for (piece, written) in ["ab", "", "cde", "f"].into_iter().zip(writes) {
                unwritten.add(Bytes::from_static(piece.as_bytes()), *written);
            }
            unwritten
        };
        assert_eq!(remaining(unwritten(&[0, 0, 0, 0]), 0), ["ab", "", "cde", "f"]);
        assert_eq!(remaining(unwritten(&[0, 2, 2, 2]), 2), ["cde", "f"]);
        assert_eq!(remaining(unwritten(&[0, 2, 2, 5]), 5), ["f"]);
        assert!(remaining(unwritten(&[0, 2, 2, 5]), 6).is_empty());
    }
}
