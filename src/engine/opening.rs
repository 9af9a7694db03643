//! The first bytes of a plain connection, which are an HTTP/2 preface or not. They are kept until they are read again; none
//! are read beyond what tells the two apart.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// RFC 9113 §3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection.
#[derive(Default)]
pub struct Opening {
    bytes: [u8; PREFACE.len()],
    /// How many have come.
    end: usize,
    /// How many of them have been handed out.
    start: usize,
}

impl Opening {
    /// Reads until the whole preface has come, or a byte that is not its next one, or the end of the stream. It waits for
    /// bytes, however few come at a time. The bytes read are kept when this future is dropped.
    ///
    /// # Errors
    /// Those of the stream, and that it ended without a byte.
    pub async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        while PREFACE.starts_with(&self.bytes[..self.end]) && self.end < PREFACE.len() {
            match stream.read(&mut self.bytes[self.end..]).await? {
                0 if self.end == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                // the next read finds the end again
                0 => return Ok(()),
                count => self.end += count,
            }
        }
        Ok(())
    }

    /// The bytes that have not been handed out yet.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Hands out as much as there is room for; `false` if nothing is left.
    pub fn hands_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = self.rest();
        if rest.is_empty() {
            return false;
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.start += count;
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Sends in pieces of this size, and gives what was kept, and what was left in the stream.
    async fn opening(sent: &[u8], piece: usize) -> (Opening, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(64);
        let mut opening = Opening::default();
        let sending = async {
            for piece in sent.chunks(piece) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let (read, ()) = tokio::join!(opening.read(&mut server), sending);
        assert_eq!(read.is_ok(), !sent.is_empty());
        let mut left = Vec::new();
        server.read_to_end(&mut left).await.unwrap();
        (opening, left)
    }

    #[tokio::test]
    async fn nothing_of_what_was_read_is_lost_however_it_comes() {
        let preface_and_more = [PREFACE, b"\0\0\0\x04"].concat();
        let sent: [&[u8]; 6] =
            [&preface_and_more, b"P", b"PRI * HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"\0", b""];
        for sent in sent {
            for piece in [1, 3, 64] {
                let (opening, left) = opening(sent, piece).await;
                assert_eq!(opening.rest() == PREFACE, sent.starts_with(PREFACE));
                assert_eq!([opening.rest(), &left].concat(), sent, "in pieces of {piece}");
            }
        }
    }

    #[tokio::test]
    async fn a_small_buffer_gets_it_in_parts() {
        let (mut opening, _) = opening(PREFACE, 64).await;
        let mut got = Vec::new();
        let mut room = [0; 5];
        loop {
            let mut buf = ReadBuf::new(&mut room);
            if !opening.hands_out(&mut buf) {
                break;
            }
            got.extend_from_slice(buf.filled());
        }
        assert_eq!(got, PREFACE);
    }
}
