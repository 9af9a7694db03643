//! The data of server-sent events, out of a stream that is cut anywhere (WHATWG HTML §9.2). Hands it on in pieces that
//! borrow from the chunks: nothing is copied, and nothing grows with an event. Knows nothing of what the data means.

use memchr::memchr2;

/// Where in its stream the reading of events has come to.
#[derive(Debug)]
pub(super) struct Events {
    line: Line,
    /// The last byte was a CR, to which an LF may still belong.
    after_cr: bool,
    /// The event under way has a line of data.
    has_data: bool,
    /// The event under way is called `error`.
    is_error: bool,
    /// The one before it was.
    was_error: bool,
}

/// What of an event is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Data, with the line ends between its lines. An event may have any number of these pieces.
    Data(&'a [u8]),
    /// A blank line: the event, if it had data, is complete.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    /// At the start of the stream, so far into a byte order mark.
    Mark(usize),
    Start,
    /// So far into the name `data`.
    Name(usize),
    /// Behind the colon, where one space does not count.
    Space,
    Data,
    /// So far into `event: error`, the space left out.
    Error(usize),
    /// Of no interest up to its end.
    Other,
}

const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
const NAME: &[u8; 4] = b"data";
const ERROR: &[u8; 11] = b"event:error";
/// How much of that stands before the name.
const COLON: usize = 6;

impl Default for Events {
    fn default() -> Self {
        Self { line: Line::Mark(0), after_cr: false, has_data: false, is_error: false, was_error: false }
    }
}

impl Events {
    /// The next piece in what is left of a chunk; none when all of it has been read.
    pub(super) fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<Piece<'a>> {
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
                    self.line = Line::Error(COLON);
                }
                Line::Start => self.line = if byte == ERROR[0] { Line::Error(0) } else { Line::Name(0) },
                Line::Error(read) if ERROR.get(read) == Some(&byte) => {
                    *rest = &rest[1..];
                    self.line = Line::Error(read + 1);
                }
                Line::Error(COLON) if byte == b' ' => {
                    *rest = &rest[1..];
                }
                Line::Error(read) if ends => {
                    // the last name of an event counts
                    self.is_error = read == ERROR.len() || self.is_error && read < COLON;
                    self.end_line(rest);
                }
                Line::Error(read) => {
                    self.is_error &= read < COLON;
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

    /// Whether the event whose end came last is called `error`.
    pub(super) fn was_error(&self) -> bool {
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
