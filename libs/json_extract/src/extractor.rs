//! Finds the values of members in one JSON text after another, each of which comes in pieces of any size. Checks no more of
//! the rest of a text than is needed not to be misled by it.

use crate::pattern::{Members, Pattern, Slot, find};
use crate::state::{Open, State};
use crate::string::{end_of_string, is_word};
use crate::value::Value;

/// The longest key that is compared. Every letter of a key may be written as an escape of six bytes.
const LONGEST_KEY: usize = 128;
/// The byte order mark of UTF-8, which some servers put before a text.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// One JSON text, as far as it has come, and the values found in it so far. There are `SLOTS` of them.
#[derive(Debug)]
pub struct JsonExtractor<S: Slot, const SLOTS: usize> {
    members: Members<S>,
    extent: Extent<S>,
    state: State,
    /// The open containers in which something is looked for, the innermost last. Never deeper than the patterns.
    open: Vec<Open<S>>,
    key: Vec<u8>,
    /// The pattern of the value that is next, or under way.
    pattern: Option<&'static Pattern<S>>,
    values: [Value; SLOTS],
    elements: usize,
    words: usize,
}

/// How much of a text is read.
#[derive(Clone, Copy, Debug)]
enum Extent<S> {
    Whole,
    /// Nothing behind the value of this slot.
    Until(S),
    /// Nothing behind the value of this slot at the top level, unless it is one of these JSON texts.
    With(S, &'static [&'static str]),
}

impl<S: Slot, const SLOTS: usize> JsonExtractor<S, SLOTS> {
    /// Looks for these members of an object.
    #[must_use]
    pub fn new(members: Members<S>) -> Self {
        Self {
            members,
            extent: Extent::Whole,
            state: State::Start,
            open: Vec::new(),
            key: Vec::new(),
            pattern: None,
            values: std::array::from_fn(|_| Value::default()),
            elements: 0,
            words: 0,
        }
    }

    /// Looks for these members, and skips what follows the value of this slot.
    #[must_use]
    pub fn until(members: Members<S>, slot: S) -> Self {
        Self { extent: Extent::Until(slot), ..Self::new(members) }
    }

    /// Looks for these members, and skips the rest of an object once the value of this slot, at the top level, turns out to be
    /// none of these JSON texts (a string includes its quotes).
    #[must_use]
    pub fn only_with(members: Members<S>, slot: S, known: &'static [&'static str]) -> Self {
        Self { extent: Extent::With(slot, known), ..Self::new(members) }
    }

    /// Looks for other members from the next text on.
    pub fn look_for(&mut self, members: Members<S>) {
        self.members = members;
    }

    /// Begins a new text and forgets all values.
    pub fn begin(&mut self) {
        self.state = State::Start;
        self.open.clear();
        (self.elements, self.words) = (0, 0);
        self.values.iter_mut().for_each(Value::forget);
    }

    /// Whether the text is a complete object.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether the text is a complete object, or one whose rest was skipped.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        matches!(self.state, State::Complete | State::Skipped)
    }

    /// The JSON text of a value; none where it was absent, `null`, or longer than its bound.
    #[must_use]
    pub fn get(&self, slot: S) -> Option<&[u8]> {
        self.values[slot.index()].get().filter(|value| *value != b"null")
    }

    /// The content of a value that is a string.
    #[must_use]
    pub fn string(&self, slot: S) -> Option<String> {
        self.get(slot).filter(|value| value.starts_with(b"\"")).and_then(|value| serde_json::from_slice(value).ok())
    }

    /// Whether there was a value other than `null`, even one longer than its bound.
    #[must_use]
    pub fn has(&self, slot: S) -> bool {
        self.get(slot).is_some() || self.is_too_long(slot)
    }

    /// Whether there was any value, `null` included.
    #[must_use]
    pub fn mentions(&self, slot: S) -> bool {
        self.values[slot.index()].is_there()
    }

    /// Whether the value was a list, however long.
    #[must_use]
    pub fn is_list(&self, slot: S) -> bool {
        self.values[slot.index()].is_list()
    }

    /// Whether the value was a list with at least one element, however long.
    #[must_use]
    pub fn is_filled_list(&self, slot: S) -> bool {
        self.values[slot.index()].is_filled_list()
    }

    /// Whether the value was longer than its bound.
    #[must_use]
    pub fn is_too_long(&self, slot: S) -> bool {
        self.values[slot.index()].is_too_long()
    }

    /// The number of objects in the lists that [`Pattern::Each`] looked into.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// How often a slot that [counts words](Slot::counts_words) had a word: a string with more in it than white space.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// The next piece of the text.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while let Some(&byte) = piece.first() {
            let read = match self.state {
                State::Complete if !is_space(byte) => {
                    self.state = State::Broken;
                    return;
                }
                State::Skipped | State::Broken => return,
                State::Key { escaped } => self.key(piece, escaped),
                State::String { escaped } => self.string_value(piece, escaped),
                State::Scalar => self.scalar(piece),
                State::Nested { depth } => self.nested(piece, depth),
                State::NestedString { depth, escaped } => self.nested_string(piece, depth, escaped),
                _ if is_space(byte) => piece.iter().take_while(|byte| is_space(**byte)).count(),
                State::Start if MARK.contains(&byte) => 1,
                State::Start if byte == b'{' => self.enter(Open::Object(self.members)),
                State::BeforeKey if byte == b'"' => {
                    self.key.clear();
                    self.to(State::Key { escaped: false })
                }
                State::BeforeKey | State::BeforeElement if byte == b',' => 1,
                State::BeforeKey if byte == b'}' => self.leave(),
                State::BeforeElement if byte == b']' => self.leave(),
                State::Colon if byte == b':' => self.to(State::BeforeValue),
                State::BeforeValue | State::BeforeElement => self.value(byte),
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

    fn key(&mut self, piece: &[u8], escaped: bool) -> usize {
        let end = end_of_string(piece, escaped);
        let read = end.read;
        self.keep_key(&piece[..read]);
        match end.state {
            Some(escaped) => self.state = State::Key { escaped },
            None => {
                self.key.pop();
                self.pattern = self.pattern_here();
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

    /// The pattern under the key that was just read.
    fn pattern_here(&self) -> Option<&'static Pattern<S>> {
        let Some(Open::Object(members)) = self.open.last() else { return None };
        if self.key.len() > LONGEST_KEY {
            return None;
        }
        if !self.key.contains(&b'\\') {
            return find(members, &self.key);
        }
        let mut quoted = Vec::with_capacity(self.key.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(&self.key);
        quoted.push(b'"');
        serde_json::from_slice::<String>(&quoted).ok().and_then(|key| find(members, key.as_bytes()))
    }

    /// A value begins with this byte.
    fn value(&mut self, byte: u8) -> usize {
        match (self.pattern, byte) {
            (Some(Pattern::Members(members)), b'{') => {
                self.elements += usize::from(matches!(self.open.last(), Some(Open::List(_))));
                return self.enter(Open::Object(members));
            }
            (Some(Pattern::Each(pattern)), b'[') => return self.enter(Open::List(pattern)),
            (Some(Pattern::Value(slot)), _) => self.values[slot.index()].begin(),
            (Some(Pattern::Key(slot)), _) => {
                let value = &mut self.values[slot.index()];
                value.begin();
                [b"\"", &*self.key, b"\""].into_iter().for_each(|part| value.push(part, slot.bound()));
                value.end();
            }
            _ => {}
        }
        match byte {
            b'"' => self.state = State::String { escaped: false },
            b'{' | b'[' => self.state = State::Nested { depth: 1 },
            b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.state = State::Scalar;
                return 0;
            }
            _ => {
                self.state = State::Broken;
                return 0;
            }
        }
        self.keep(&[byte]);
        1
    }

    fn keep(&mut self, piece: &[u8]) {
        if let Some(Pattern::Value(slot)) = self.pattern {
            self.values[slot.index()].push(piece, slot.bound());
        }
    }

    /// A value is over.
    fn end_value(&mut self) {
        if let Some(Pattern::Value(slot)) = self.pattern {
            let value = &mut self.values[slot.index()];
            value.end();
            self.words += usize::from(slot.counts_words() && value.get().is_some_and(is_word));
            let skips = match self.extent {
                Extent::Whole => false,
                Extent::Until(last) => last == *slot,
                Extent::With(kind, known) => {
                    let is_known = || known.iter().any(|known| value.get() == Some(known.as_bytes()));
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

    fn string_value(&mut self, piece: &[u8], escaped: bool) -> usize {
        let end = end_of_string(piece, escaped);
        self.keep(&piece[..end.read]);
        match end.state {
            Some(escaped) => self.state = State::String { escaped },
            None => self.end_value(),
        }
        end.read
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

    fn nested(&mut self, piece: &[u8], depth: usize) -> usize {
        let mut depth = depth;
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'"' => {
                    self.keep(&piece[..=at]);
                    self.state = State::NestedString { depth, escaped: false };
                    return at + 1;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.keep(&piece[..=at]);
                        self.end_value();
                        return at + 1;
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

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
