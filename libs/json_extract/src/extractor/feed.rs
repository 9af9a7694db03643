//! How an extractor reads the pieces of a text: one step for each state. What it looks for and has found, the extractor keeps.

use super::{Extent, JsonExtractor};
use crate::pattern::{Pattern, Slot, find};
use crate::state::{Open, State};
use crate::string::{end_of_string, is_word};

/// The longest key that is compared. Every letter of a key may be written as an escape of six bytes.
const LONGEST_KEY: usize = 128;
/// The byte order mark of UTF-8, which some servers put before a text.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl<S: Slot, const SLOTS: usize> JsonExtractor<S, SLOTS> {
    /// The next piece of the text.
    pub fn feed(&mut self, mut piece: &[u8]) {
        self.values.make_room(piece.len());
        while let Some(&byte) = piece.first() {
            let read = match self.state {
                State::Complete if !is_space(byte) => {
                    self.state = State::Broken;
                    return;
                }
                State::Skipped | State::Broken => return,
                State::Key { escaped } => self.key(piece, escaped),
                State::String { escaped } => self.string_value(piece, 0, escaped),
                State::Scalar => self.scalar(piece),
                State::Nested { depth } => self.nested(piece, 0, depth),
                State::NestedString { depth, escaped } => self.nested_string(piece, depth, escaped),
                _ if is_space(byte) => piece.iter().take_while(|byte| is_space(**byte)).count(),
                State::Start if MARK.contains(&byte) => 1,
                State::Start if byte == b'{' => self.enter(Open::Object(self.members)),
                State::BeforeKey if byte == b'"' => self.begin_key(piece),
                State::BeforeKey | State::BeforeElement if byte == b',' => 1,
                State::BeforeKey if byte == b'}' => self.leave(),
                State::BeforeElement if byte == b']' => self.leave(),
                State::Colon if byte == b':' => self.to(State::BeforeValue),
                State::BeforeValue | State::BeforeElement => self.value(piece, byte),
                _ => {
                    self.state = State::Broken;
                    return;
                }
            };
            piece = &piece[read..];
        }
    }

    fn to(&mut self, state: State) -> usize {
        self.state = state;
        1
    }

    fn enter(&mut self, open: Open<S>) -> usize {
        self.open.push(open);
        self.within(open);
        1
    }

    fn leave(&mut self) -> usize {
        self.open.pop();
        self.after_value();
        1
    }

    /// What comes behind a value.
    fn after_value(&mut self) {
        match self.open.last() {
            Some(open) => self.within(*open),
            None => self.state = State::Complete,
        }
    }

    fn within(&mut self, open: Open<S>) {
        match open {
            Open::Object(_) => self.state = State::BeforeKey,
            Open::List(pattern) => {
                self.pattern = Some(pattern);
                self.state = State::BeforeElement;
            }
        }
    }

    /// A key begins with the first byte of a piece. Nearly always all of it is there, and it is not copied.
    fn begin_key(&mut self, piece: &[u8]) -> usize {
        self.key.clear();
        let end = end_of_string(&piece[1..], false);
        let (key, read) = (&piece[1..1 + end.read], 1 + end.read);
        match end.state {
            Some(escaped) => {
                self.keep_key(key);
                self.state = State::Key { escaped };
            }
            None => {
                let key = &key[..key.len() - 1];
                self.pattern = self.pattern_under(key);
                if let Some(Pattern::Key(_)) = self.pattern {
                    self.keep_key(key);
                }
                self.state = State::Colon;
            }
        }
        read
    }

    /// The next piece of a key.
    fn key(&mut self, piece: &[u8], escaped: bool) -> usize {
        let end = end_of_string(piece, escaped);
        let read = end.read;
        self.keep_key(&piece[..read]);
        match end.state {
            Some(escaped) => self.state = State::Key { escaped },
            None => {
                self.key.pop();
                self.pattern = self.pattern_under(&self.key);
                self.state = State::Colon;
            }
        }
        read
    }

    fn keep_key(&mut self, piece: &[u8]) {
        // its quote is kept, too, and taken off again
        let room = (LONGEST_KEY + 2).saturating_sub(self.key.len());
        // one that is too long stays too long, and equals none
        self.key.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The pattern under a key, of the object that is open.
    fn pattern_under(&self, key: &[u8]) -> Option<&'static Pattern<S>> {
        let Some(Open::Object(members)) = self.open.last() else { return None };
        if key.len() > LONGEST_KEY {
            return None;
        }
        if !key.contains(&b'\\') {
            return find(members, key);
        }
        let mut quoted = Vec::with_capacity(key.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(key);
        quoted.push(b'"');
        serde_json::from_slice::<String>(&quoted).ok().and_then(|key| find(members, key.as_bytes()))
    }

    /// A value begins with the first byte of a piece.
    fn value(&mut self, piece: &[u8], byte: u8) -> usize {
        match (self.pattern, byte) {
            (Some(Pattern::Members(members)), b'{') => {
                self.elements += usize::from(matches!(self.open.last(), Some(Open::List(_))));
                return self.enter(Open::Object(members));
            }
            (Some(Pattern::Each(pattern)), b'[') => return self.enter(Open::List(pattern)),
            (Some(Pattern::Value(slot)), _) => self.values.begin(slot.index()),
            (Some(Pattern::Key(slot)), _) => {
                let at = slot.index();
                self.values.begin(at);
                [b"\"", &*self.key, b"\""].into_iter().for_each(|part| self.values.push(at, part, slot.bound()));
                self.values.end(at);
            }
            _ => {}
        }
        // as much of it as there is, in one piece
        match byte {
            b'"' => self.string_value(piece, 1, false),
            b'{' | b'[' => self.nested(piece, 1, 1),
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.state = State::Scalar;
                self.scalar(piece)
            }
            _ => {
                self.state = State::Broken;
                0
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if let Some(Pattern::Value(slot)) = self.pattern {
            self.values.push(slot.index(), piece, slot.bound());
        }
    }

    /// A value is over.
    fn end_value(&mut self) {
        if let Some(Pattern::Value(slot)) = self.pattern {
            self.values.end(slot.index());
            let value = self.values.get(slot.index());
            self.words += usize::from(slot.counts_words() && value.is_some_and(is_word));
            let skips = match self.extent {
                Extent::Whole => false,
                Extent::Until(last) => last == *slot,
                Extent::With(kind, known) => {
                    let is_known = || known.iter().any(|known| value == Some(known.as_bytes()));
                    *slot == kind && self.open.len() == 1 && !is_known()
                }
            };
            if skips {
                self.state = State::Skipped;
                return;
            }
        }
        self.pattern = None;
        self.after_value();
    }

    /// The next piece of a string, of which so many bytes have been looked at.
    fn string_value(&mut self, piece: &[u8], at: usize, escaped: bool) -> usize {
        let end = end_of_string(&piece[at..], escaped);
        let read = at + end.read;
        self.keep(&piece[..read]);
        match end.state {
            Some(escaped) => self.state = State::String { escaped },
            None => self.end_value(),
        }
        read
    }

    fn scalar(&mut self, piece: &[u8]) -> usize {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || is_space(*byte);
        let length = piece.iter().position(ends);
        self.keep(&piece[..length.unwrap_or(piece.len())]);
        if length.is_some() {
            self.end_value();
        }
        length.unwrap_or(piece.len())
    }

    /// The next piece of a container, of which so many bytes have been looked at.
    fn nested(&mut self, piece: &[u8], mut at: usize, mut depth: usize) -> usize {
        while let Some(byte) = piece.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let end = end_of_string(&piece[at..], false);
                    at += end.read;
                    if let Some(escaped) = end.state {
                        self.keep(piece);
                        self.state = State::NestedString { depth, escaped };
                        return piece.len();
                    }
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.keep(&piece[..at]);
                        self.end_value();
                        return at;
                    }
                }
                _ => {}
            }
        }
        self.keep(piece);
        self.state = State::Nested { depth };
        piece.len()
    }

    fn nested_string(&mut self, piece: &[u8], depth: usize, escaped: bool) -> usize {
        let end = end_of_string(piece, escaped);
        self.keep(&piece[..end.read]);
        self.state = match end.state {
            Some(escaped) => State::NestedString { depth, escaped },
            None => State::Nested { depth },
        };
        end.read
    }
}

#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
