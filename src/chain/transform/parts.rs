//! A body, cut into the parts that plugins change: events, lines, or the whole. Holds what is not complete yet, within a limit
//! and a charge. Knows nothing of what a part says.

use bytes::{Bytes, BytesMut};
use event_stream::{Events, Piece};
use memchr::memchr;
use plugin_api::{BODIES, Charge, PartKind};

use super::TransformError;

/// What of a part is held without a charge, in bytes: a connection's buffers take as much anyway.
const FREE: usize = 64 << 10;
/// In what steps the rest is charged.
const STEP: usize = 64 << 10;

/// A body on its way.
pub(super) struct Parts {
    kind: PartKind,
    limit: usize,
    /// The beginning of a part whose end has not come.
    held: BytesMut,
    charge: Charge,
    /// What has come behind it.
    rest: Bytes,
    /// How much of that has been looked at.
    seen: usize,
    /// What reads events, where these are.
    events: Events,
    ended: bool,
}

impl Parts {
    /// The parts of a body of this kind, none of which may be larger than the limit.
    pub(super) fn new(kind: PartKind, limit: usize) -> Self {
        let (held, charge, rest) = (BytesMut::new(), BODIES.charge(), Bytes::new());
        Self { kind, limit, held, charge, rest, seen: 0, events: Events::default(), ended: false }
    }

    /// Takes bytes that came. All parts before them have been taken out.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.rest = bytes;
        self.seen = 0;
    }

    /// The next part that is complete. What is left when the body is over (`last`) is a part too, and its end is another.
    ///
    /// # Errors
    /// That a part is too large to be held.
    pub(super) fn next(&mut self, last: bool) -> Result<Option<(PartKind, Bytes)>, TransformError> {
        if let Some(end) = self.find_end() {
            let rest = self.rest.split_to(end);
            if self.held.len() + rest.len() > self.limit {
                return Err(TransformError::TooLarge);
            }
            self.seen = 0;
            return Ok(Some((self.kind, self.take(rest))));
        }
        let rest = std::mem::take(&mut self.rest);
        self.seen = 0;
        if last && !(self.held.is_empty() && rest.is_empty()) {
            self.cover(rest.len())?;
            return Ok(Some((self.kind, self.take(rest))));
        }
        if !rest.is_empty() {
            self.cover(rest.len())?;
            self.held.extend_from_slice(&rest);
        }
        if last && self.kind != PartKind::Whole && !std::mem::replace(&mut self.ended, true) {
            return Ok(Some((PartKind::End, Bytes::new())));
        }
        Ok(None)
    }

    /// Whether a part is held whose end has not come.
    pub(super) fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        (self.held, self.rest, self.charge) = (BytesMut::new(), Bytes::new(), BODIES.charge());
    }

    /// The part that ends with these bytes. A part that came at once is not copied.
    fn take(&mut self, rest: Bytes) -> Bytes {
        if self.held.is_empty() {
            return rest;
        }
        self.held.extend_from_slice(&rest);
        self.charge = BODIES.charge();
        std::mem::take(&mut self.held).freeze()
    }

    fn cover(&mut self, more: usize) -> Result<(), TransformError> {
        let total = self.held.len() + more;
        if total > self.limit {
            return Err(TransformError::TooLarge);
        }
        self.charge.cover(total.saturating_sub(FREE), STEP).map_err(|_| TransformError::NoMemory)
    }

    /// Where in what has come a part ends.
    fn find_end(&mut self) -> Option<usize> {
        match self.kind {
            PartKind::Event => self.find_blank_line(),
            PartKind::Line => memchr(b'\n', &self.rest).map(|at| at + 1),
            PartKind::Whole | PartKind::End => None,
        }
    }

    /// Where an event ends: behind a blank line.
    fn find_blank_line(&mut self) -> Option<usize> {
        let mut unseen = &self.rest[self.seen..];
        loop {
            let piece = self.events.next(&mut unseen);
            self.seen = self.rest.len() - unseen.len();
            match piece {
                Some(Piece::Data(_)) => {}
                Some(Piece::End) => return Some(self.seen),
                None => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(kind: PartKind, body: &[u8], cut: usize) -> Vec<String> {
        let mut parts = Parts::new(kind, 1 << 20);
        let mut found = Vec::new();
        let mut pieces = body.chunks(cut).peekable();
        while let Some(piece) = pieces.next() {
            parts.push(Bytes::copy_from_slice(piece));
            while let Some((kind, part)) = parts.next(pieces.peek().is_none()).unwrap() {
                assert_eq!(kind == PartKind::End, part.is_empty());
                found.push(String::from_utf8(part.to_vec()).unwrap());
            }
        }
        found
    }

    #[test]
    fn a_body_is_cut_into_the_same_parts_however_it_comes() {
        for (kind, wanted) in [
            (
                PartKind::Event,
                &["event: a\ndata: 1\n\n", ": c\n\n", "\n", "data: 2\r\n\r\n", "data: 3\n\n", "data: cut", ""][..],
            ),
            (PartKind::Line, &["{}\n", "\n", "{\"a\":1}\r\n", "{", ""]),
            (PartKind::Whole, &["{\n\n}"]),
        ] {
            let body = wanted.concat();
            for cut in 1..=body.len() {
                let found = parts(kind, body.as_bytes(), cut);
                // between the two bytes of a line end an event may be taken for complete, and the LF goes with the next one
                let joined = |parts: &[String]| parts.concat();
                assert_eq!(joined(&found), body, "{kind:?} {cut}");
                let trimmed: Vec<&str> = found.iter().map(|part| part.trim()).collect();
                let expected: Vec<&str> = wanted.iter().map(|part| part.trim()).collect();
                assert_eq!(trimmed, expected, "{kind:?} {cut}");
            }
        }
    }

    #[test]
    fn an_event_that_ends_with_cr_leaves_at_once() {
        let mut parts = Parts::new(PartKind::Event, 100);
        parts.push(Bytes::from_static(b"data: 1\r\r"));
        assert_eq!(parts.next(false).unwrap().unwrap().1, "data: 1\r\r");
        assert!(!parts.holds_back());
        parts.push(Bytes::from_static(b"\ndata: 2\r\n\r"));
        assert_eq!(parts.next(false).unwrap().unwrap().1, "\ndata: 2\r\n\r");
    }

    #[test]
    fn what_is_larger_than_the_limit_is_not_held() {
        for kind in [PartKind::Event, PartKind::Line, PartKind::Whole] {
            let mut parts = Parts::new(kind, 10);
            parts.push(Bytes::from_static(b"0123456789"));
            assert_eq!(parts.next(false).unwrap(), None);
            parts.push(Bytes::from_static(b"0"));
            assert_eq!(parts.next(true).unwrap_err(), TransformError::TooLarge, "{kind:?}");
        }
        let mut parts = Parts::new(PartKind::Event, 10);
        parts.push(Bytes::from_static(b"data: 1234567\n\n"));
        assert_eq!(parts.next(false).unwrap_err(), TransformError::TooLarge);
    }

    #[test]
    fn what_is_held_beyond_64_kib_is_charged_until_it_goes_on() {
        let mut parts = Parts::new(PartKind::Whole, 1 << 20);
        parts.push(Bytes::from(vec![b'x'; FREE]));
        assert_eq!(parts.next(false).unwrap(), None);
        assert_eq!(parts.charge.bytes(), 0);
        parts.push(Bytes::from(vec![b'x'; FREE + 1]));
        assert_eq!(parts.next(false).unwrap(), None);
        assert_eq!(parts.charge.bytes(), 2 * STEP);
        parts.push(Bytes::new());
        assert_eq!(parts.next(true).unwrap().unwrap().1.len(), 2 * FREE + 1);
        assert_eq!((parts.charge.bytes(), parts.holds_back()), (0, false));
    }
}
