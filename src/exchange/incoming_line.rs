//! The first line of a head while it comes in. Pingora gets none of it before it is whole and has been looked at, and then perhaps in another
//! form; see [`request_line`].

use super::request_line::{self, AsSent, Rewritten};

/// The first line of the head that is coming in.
#[derive(Default)]
pub struct IncomingLine {
    /// Whether a line is awaited, or the rest of one.
    awaited: bool,
    /// Bytes that Pingora has yet to get.
    held: Vec<u8>,
    /// How many of them it has got.
    given: usize,
    /// What the line said that Pingora was not told.
    as_sent: Option<AsSent>,
}

/// What becomes of bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// They pass as they are.
    Pass,
    /// They are held, since the line is not whole.
    Held,
    /// They were taken, and [`IncomingLine::rest`] gives what passes instead.
    Replaced,
}

impl IncomingLine {
    /// A head begins.
    pub fn begins(&mut self) {
        self.awaited = true;
        self.as_sent = None;
    }

    /// Looks at bytes of a head.
    ///
    /// # Errors
    /// Why the line is refused, as a message for the client.
    pub fn came(&mut self, bytes: &[u8]) -> Result<Taken, &'static str> {
        if !self.awaited {
            return Ok(Taken::Pass);
        }
        if self.held.is_empty() {
            if matches!(bytes.first(), Some(b'\r' | b'\n')) {
                // an empty line, or the end of a head that began behind the request before it: nothing is held of what may be a body.
                // The first line is looked at once the head is whole
                self.awaited = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                return Ok(Taken::Pass);
            }
            if let Some(end) = memchr::memchr(b'\n', bytes) {
                self.awaited = false;
                let Some(rewritten) = request_line::read(without_cr(&bytes[..end]))? else { return Ok(Taken::Pass) };
                self.replace(rewritten, &bytes[end..]);
                return Ok(Taken::Replaced);
            }
        }
        let looked_at = self.held.len();
        self.held.extend_from_slice(bytes);
        let Some(end) = memchr::memchr(b'\n', &self.held[looked_at..]) else { return Ok(Taken::Held) };
        self.awaited = false;
        let end = looked_at + end;
        if let Some(rewritten) = request_line::read(without_cr(&self.held[..end]))? {
            let rest = self.held.split_off(end);
            self.replace(rewritten, &rest);
        }
        Ok(Taken::Replaced)
    }

    /// Whether the rest of a line of which bytes are held is to come.
    pub fn is_awaited(&self) -> bool {
        self.awaited && !self.held.is_empty()
    }

    /// The client has ended its side within the line, which Pingora gets as it is.
    pub fn ended(&mut self) {
        self.awaited = false;
    }

    /// The bytes that Pingora gets next.
    pub fn rest(&self) -> &[u8] {
        if self.awaited { &[] } else { &self.held[self.given..] }
    }

    /// Pingora has got so many of them.
    pub fn gave(&mut self, count: usize) {
        self.given += count;
        if self.given == self.held.len() {
            // rare enough to give its memory back
            (self.held, self.given) = (Vec::new(), 0);
        }
    }

    /// What the last line said that Pingora was not told.
    pub fn take_as_sent(&mut self) -> Option<AsSent> {
        self.as_sent.take()
    }

    /// `rest` begins with the end of the line.
    fn replace(&mut self, rewritten: Rewritten, rest: &[u8]) {
        self.held = rewritten.line;
        self.held.push(b'\r');
        self.held.extend_from_slice(rest);
        self.as_sent = Some(rewritten.as_sent);
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Pingora gets of a head that comes in pieces of this size.
    fn passed(head: &[u8], piece: usize) -> (Vec<u8>, Option<AsSent>) {
        let mut line = IncomingLine::default();
        line.begins();
        let mut passed = Vec::new();
        for bytes in head.chunks(piece) {
            match line.came(bytes).unwrap() {
                Taken::Pass => passed.extend_from_slice(bytes),
                Taken::Held => assert_eq!(line.rest(), b""),
                Taken::Replaced => {
                    while !line.rest().is_empty() {
                        // a buffer has room for some
                        let some = line.rest().len().min(7);
                        passed.extend_from_slice(&line.rest()[..some]);
                        line.gave(some);
                    }
                }
            }
        }
        (passed, line.take_as_sent())
    }

    #[test]
    fn however_it_comes_pingora_gets_the_same() {
        let plain = b"POST /v1/messages HTTP/1.1\r\nhost: a\r\n\r\n{\"<\"}\n";
        let odd = b"GET http://A/<x> HTTP/1.1\r\nhost: a\r\n\r\n";
        let rewritten = b"GET /%3Cx%3E HTTP/1.1\r\nhost: a\r\n\r\n";
        for piece in [1, 2, 3, 10, 25, 1000] {
            let (same, nothing) = passed(plain, piece);
            assert_eq!(same, plain, "in pieces of {piece}");
            assert_eq!(nothing, None);
            let (passed, as_sent) = passed(odd, piece);
            assert!(passed.ends_with(rewritten), "{}", passed.escape_ascii());
            assert_eq!(as_sent.unwrap().authority, Some((Box::from(&b"A"[..]), 80)));
        }
    }

    #[test]
    fn the_end_of_a_head_and_what_is_behind_it_pass() {
        for head in [&b"\r\n{\"a\": 1}"[..], b"\n\r\n{}", b"\r\nGET /<x> HTTP/1.1\r\n\r\n"] {
            assert_eq!(passed(head, 1000), (head.to_vec(), None));
        }
        let empty_line_alone = passed(b"\r\nGET /<x> HTTP/1.1\r\n", 2).0;
        assert_eq!(empty_line_alone, b"\r\nGET /%3Cx%3E HTTP/1.1\r\n");
    }

    #[test]
    fn a_line_is_refused_however_it_comes() {
        for piece in [1, 5, 100] {
            let mut line = IncomingLine::default();
            line.begins();
            let refused = b"GET /a b HTTP/1.1\r\n".chunks(piece).any(|bytes| line.came(bytes).is_err());
            assert!(refused, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_line_that_never_ends_passes_when_its_client_has_ended() {
        let mut line = IncomingLine::default();
        line.begins();
        assert_eq!(line.came(b"GET /x"), Ok(Taken::Held));
        line.ended();
        assert_eq!(line.rest(), b"GET /x");
    }
}
