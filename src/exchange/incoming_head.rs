//! The head of a request while it comes in over an HTTP/1.1 connection: its size so far, its charge to the budget for heads, and its
//! limit. Pingora's parser alone would accept a megabyte from every connection.

use plugin_api::Charge;

use crate::memory::{FREE_HEAD, HEADS};

use super::deadlines::ClientBytes;
use super::failure::Failure;

/// The kept part of a head's first line, in bytes. Its path decides the dialect of a refusal.
const LINE: usize = 128;
/// The step in which a head is charged, in bytes.
const CHARGE_STEP: usize = 8 << 10;

/// The head that is coming in.
pub struct IncomingHead {
    max: usize,
    /// How much of it has come; 0 where none has begun.
    read: usize,
    line: [u8; LINE],
    charge: Charge,
}

impl IncomingHead {
    /// No head yet, of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { max, read: 0, line: [0; LINE], charge: HEADS.charge() }
    }

    /// How much of the head that is coming in may still come; `None` where none has begun.
    pub fn room(&self) -> Option<usize> {
        (self.read > 0).then(|| self.max.saturating_sub(self.read))
    }

    /// The largest head, in bytes.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Bytes have come from the client.
    ///
    /// # Errors
    /// [`Failure::HeadMemory`]: no memory is left for them.
    pub fn came(&mut self, bytes: &[u8], what: ClientBytes) -> Result<(), Failure> {
        match what {
            ClientBytes::Other => {
                self.ended();
                return Ok(());
            }
            ClientBytes::HeadBegins => self.ended(),
            ClientBytes::Head => {}
        }
        if self.read < LINE {
            let length = bytes.len().min(LINE - self.read);
            self.line[self.read..][..length].copy_from_slice(&bytes[..length]);
        }
        self.read += bytes.len();
        // a buffer that grows has up to twice the bytes in it
        let charged = 2 * self.read.saturating_sub(FREE_HEAD);
        self.charge.cover(charged, CHARGE_STEP).map_err(|_| Failure::HeadMemory)
    }

    /// No head is coming in any more. Its exchange has a charge of its own.
    pub fn ended(&mut self) {
        self.read = 0;
        self.charge.settle(0);
    }

    /// The method and the path in its first line, without the query; empty where there is none.
    pub fn request(&self) -> (String, String) {
        let line = &self.line[..self.read.min(LINE)];
        let mut parts = line.split(|byte| byte.is_ascii_whitespace());
        let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(method), text(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_counted_from_its_first_byte_and_forgotten_with_its_last() {
        let mut head = IncomingHead::new(100);
        assert_eq!(head.room(), None);
        head.came(b"POST /v1/messages?a=b HTTP/1.1\r\n", ClientBytes::HeadBegins).unwrap();
        head.came(&[b'x'; 50], ClientBytes::Head).unwrap();
        assert_eq!((head.room(), &*head.request().1), (Some(18), "/v1/messages"));
        head.came(b"GET / HTTP/1.1\r\n", ClientBytes::HeadBegins).unwrap();
        assert_eq!((head.room(), &*head.request().1), (Some(84), "/"));
        head.came(b"{}", ClientBytes::Other).unwrap();
        assert_eq!((head.room(), &*head.request().1), (None, ""));
    }

    #[test]
    fn a_line_that_is_not_a_request_has_no_path() {
        for line in ["", "x", "GET", "\0\u{1}\u{2}"] {
            let mut head = IncomingHead::new(100);
            head.came(line.as_bytes(), ClientBytes::HeadBegins).unwrap();
            assert_eq!(head.request().1, "", "{line:?}");
        }
    }
}
