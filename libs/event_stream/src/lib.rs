//! Reads the data of server-sent events from a stream that arrives in chunks of any size (WHATWG HTML §9.2). The data comes in pieces
//! that borrow from the chunks: nothing is copied, and no memory grows with an event. It does not know what the data means.
//!
//! ```
//! use event_stream::{Events, Piece};
//!
//! let mut events = Events::default();
//! let mut data = Vec::new();
//! for mut chunk in [&b"event: ping\ndata: {\"a"[..], b"\":1}\n\n"] {
//!     while let Some(piece) = events.next(&mut chunk) {
//!         match piece {
//!             Piece::Data(bytes) => data.extend_from_slice(bytes),
//!             Piece::End => assert_eq!(data, br#"{"a":1}"#),
//!         }
//!     }
//! }
//! ```

use memchr::memchr2;

/// The reader of one stream, as far as it has come.
#[derive(Debug)]
pub struct Events {
    line: Line,
    /// The last byte was a CR, to which an LF may still belong.
    after_cr: bool,
    /// The current event has a line of data.
    has_data: bool,
    /// The current event is called `error`.
    is_error: bool,
    /// The event before it was.
    was_error: bool,
}

/// The next part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Data, including the line ends between its lines. An event may have any number of these pieces.
    Data(&'a [u8]),
    /// A blank line: the event, if it had data, is complete.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    /// At the start of the stream, so many bytes into a byte order mark.
    Mark(usize),
    Start,
    /// So many bytes into `data`.
    Name(usize),
    /// Behind the colon of `data:`. One space there does not count.
    Space,
    Data,
    /// So many bytes into `event:`.
    Event(usize),
    /// Behind its colon. One space there does not count.
    EventSpace,
    /// So many bytes into `error`, the name of an event.
    Error(usize),
    /// Ignored up to the end of the line.
    Other,
}

const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
const NAME: &[u8; 4] = b"data";
const EVENT: &[u8; 6] = b"event:";
const ERROR: &[u8; 5] = b"error";

impl Default for Events {
    fn default() -> Self {
        Self { line: Line::Mark(0), after_cr: false, has_data: false, is_error: false, was_error: false }
    }
}

impl Events {
    /// The next piece in the rest of a chunk; none when all of the chunk has been read.
    pub fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<Piece<'a>> {
        while let Some(&byte) = rest.first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                *rest = &rest[1..];
                continue;
            }
            let ends = matches!(byte, b'\n' | b'\r');
            match self.line {
                Line::Mark(read) if byte == MARK[read] => {
                    *rest = &rest[1..];
                    self.line = if read == 2 { Line::Start } else { Line::Mark(read + 1) };
                }
                Line::Mark(read) => self.line = if read == 0 { Line::Start } else { Line::Other },
                Line::Start if ends => {
                    self.end_line(rest);
                    self.has_data = false;
                    self.was_error = std::mem::take(&mut self.is_error);
                    return Some(Piece::End);
                }
                // all at once, as nearly always
                Line::Start if rest.starts_with(b"event: ") => {
                    *rest = &rest[b"event: ".len()..];
                    self.line = Line::Error(0);
                }
                Line::Start => self.line = if byte == EVENT[0] { Line::Event(0) } else { Line::Name(0) },
                Line::Event(read) if EVENT.get(read) == Some(&byte) => {
                    *rest = &rest[1..];
                    self.line = if read + 1 == EVENT.len() { Line::EventSpace } else { Line::Event(read + 1) };
                }
                Line::Event(read) if ends => {
                    // the name of the field alone: an event without a name
                    self.is_error &= read + 1 < EVENT.len();
                    self.end_line(rest);
                }
                Line::Event(_) => self.line = Line::Other,
                Line::EventSpace => {
                    if byte == b' ' {
                        *rest = &rest[1..];
                    }
                    self.line = Line::Error(0);
                }
                Line::Error(read) if ERROR.get(read) == Some(&byte) => {
                    *rest = &rest[1..];
                    self.line = Line::Error(read + 1);
                }
                Line::Error(read) if ends => {
                    // the last name of an event counts
                    self.is_error = read == ERROR.len();
                    self.end_line(rest);
                }
                Line::Error(_) => {
                    self.is_error = false;
                    self.line = Line::Other;
                }
                Line::Name(4) if byte == b':' => {
                    *rest = &rest[1..];
                    self.line = Line::Space;
                    if std::mem::replace(&mut self.has_data, true) {
                        return Some(Piece::Data(b"\n"));
                    }
                }
                Line::Name(4) if ends => {
                    // the name alone: an empty line of data
                    self.end_line(rest);
                    if std::mem::replace(&mut self.has_data, true) {
                        return Some(Piece::Data(b"\n"));
                    }
                }
                Line::Name(read) if read < 4 && byte == NAME[read] => {
                    *rest = &rest[1..];
                    self.line = Line::Name(read + 1);
                }
                Line::Name(_) => self.line = Line::Other,
                Line::Space => {
                    if byte == b' ' {
                        *rest = &rest[1..];
                    }
                    self.line = Line::Data;
                }
                Line::Data => {
                    let data = self.take_line(rest);
                    if !data.is_empty() {
                        return Some(Piece::Data(data));
                    }
                }
                Line::Other => {
                    self.take_line(rest);
                }
            }
        }
        None
    }

    /// Whether the event that ended last is called `error`.
    #[must_use]
    pub fn was_error(&self) -> bool {
        self.was_error
    }

    /// Takes the rest of the line, or as much of it as there is.
    fn take_line<'a>(&mut self, rest: &mut &'a [u8]) -> &'a [u8] {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        *rest = behind;
        if !behind.is_empty() {
            self.end_line(rest);
        }
        line
    }

    /// Takes a line's end: LF, CR or both.
    fn end_line(&mut self, rest: &mut &[u8]) {
        let both = rest.starts_with(b"\r\n");
        self.after_cr = **rest == *b"\r";
        *rest = &rest[if both { 2 } else { 1 }..];
        self.line = Line::Start;
    }
}

#[cfg(test)]
mod tests;
