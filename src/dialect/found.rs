//! Finds the values of a few members in a JSON text that comes in pieces of any size. Keeps those values and nothing else,
//! each within a bound; checks no more of the rest than is needed not to be misled by it.

mod state;
mod text;
mod value;
mod wanted;

use state::{Open, State};
use text::{end_of_text, is_word};
use value::Value;

use wanted::named;

pub(super) use wanted::{Field, Members, Wanted};

/// The longest key that is compared; every letter of one may be written as an escape of six.
const LONGEST_KEY: usize = 128;
/// What stands before the text in some files: the byte order mark of UTF-8.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// One text on its way, and what was found in it so far.
#[derive(Debug)]
pub(super) struct Found {
    members: Members,
    goes_on: GoesOn,
    state: State,
    /// The open containers that may hold something, the innermost last. Never deeper than what is looked for.
    open: Vec<Open>,
    key: Vec<u8>,
    /// What is looked for in the value that is next, or under way.
    wanted: Option<&'static Wanted>,
    values: [Value; Field::COUNT],
    /// How many objects stood in the lists whose elements are looked into.
    elements: usize,
    /// How many of [`Field::Stop`] were words.
    stops: usize,
}

/// When the rest of a text may be left unread.
#[derive(Clone, Copy, Debug)]
enum GoesOn {
    Always,
    /// Not once this is found.
    Until(Field),
    /// Only with one of these types at the top level, in quotes.
    With(&'static [&'static str]),
}

impl Found {
    /// Looks for these members of an object.
    pub(super) fn new(members: Members) -> Self {
        Self {
            members,
            goes_on: GoesOn::Always,
            state: State::Start,
            open: Vec::new(),
            key: Vec::new(),
            wanted: None,
            values: Default::default(),
            elements: 0,
            stops: 0,
        }
    }

    /// The same, only up to this field.
    pub(super) fn until(members: Members, field: Field) -> Self {
        Self { goes_on: GoesOn::Until(field), ..Self::new(members) }
    }

    /// The same, only in objects with one of these types, in quotes.
    pub(super) fn of_types(members: Members, types: &'static [&'static str]) -> Self {
        Self { goes_on: GoesOn::With(types), ..Self::new(members) }
    }

    /// Looks for others from the next text on.
    pub(super) fn look_for(&mut self, members: Members) {
        self.members = members;
    }

    /// A new text begins; what was found is forgotten.
    pub(super) fn begin(&mut self) {
        self.state = State::Start;
        self.open.clear();
        (self.elements, self.stops) = (0, 0);
        self.values.iter_mut().for_each(Value::forget);
    }

    /// Whether the text is a whole object.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Done
    }

    /// Whether nothing of the text was left unread that may matter, though it may not be whole.
    pub(super) fn is_sound(&self) -> bool {
        matches!(self.state, State::Done | State::Left)
    }

    /// The JSON text of a value; none where it was absent, `null`, or longer than its bound.
    pub(super) fn get(&self, field: Field) -> Option<&[u8]> {
        self.values[field as usize].get().filter(|value| *value != b"null")
    }

    /// The value, where it is a string.
    pub(super) fn text(&self, field: Field) -> Option<String> {
        self.get(field).filter(|value| value.starts_with(b"\"")).and_then(|value| serde_json::from_slice(value).ok())
    }

    /// Whether there was a value, and not `null`, though it may be too long to be kept.
    pub(super) fn has(&self, field: Field) -> bool {
        self.get(field).is_some() || self.is_too_long(field)
    }

    /// Whether there was a value at all, `null` included.
    pub(super) fn mentions(&self, field: Field) -> bool {
        self.values[field as usize].is_there()
    }

    /// Whether there was a list.
    pub(super) fn is_list(&self, field: Field) -> bool {
        self.values[field as usize].is_list()
    }

    /// Whether there was a list with something in it.
    pub(super) fn is_filled_list(&self, field: Field) -> bool {
        self.values[field as usize].is_filled_list()
    }

    /// How many objects stood in the lists whose elements are looked into.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// How often [`Field::Stop`] was a word: a string with more in it than white space.
    pub(super) fn stops(&self) -> usize {
        self.stops
    }

    /// Whether there was a value too long to be kept.
    pub(super) fn is_too_long(&self, field: Field) -> bool {
        self.values[field as usize].is_too_long()
    }

    /// The next piece of the text.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        while let Some(&byte) = piece.first() {
            let read = match self.state {
                State::Done if !is_space(byte) => {
                    self.state = State::Broken;
                    return;
                }
                State::Left | State::Broken => return,
                State::Key { escaped } => self.key(piece, escaped),
                State::Text { escaped } => self.text_value(piece, escaped),
                State::Scalar => self.scalar(piece),
                State::Nested { depth } => self.nested(piece, depth),
                State::NestedText { depth, escaped } => self.nested_text(piece, depth, escaped),
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

    fn enter(&mut self, open: Open) -> usize {
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
            None => self.state = State::Done,
        }
    }

    fn within(&mut self, open: Open) {
        match open {
            Open::Object(_) => self.state = State::BeforeKey,
            Open::List(wanted) => {
                self.wanted = Some(wanted);
                self.state = State::BeforeElement;
            }
        }
    }

    fn key(&mut self, piece: &[u8], escaped: bool) -> usize {
        let end = end_of_text(piece, escaped);
        let read = end.read;
        self.keep_key(&piece[..read]);
        match end.state {
            Some(escaped) => self.state = State::Key { escaped },
            None => {
                self.key.pop();
                self.wanted = self.wanted_here();
                self.state = State::Colon;
            }
        }
        read
    }

    fn keep_key(&mut self, piece: &[u8]) {
        let room = (LONGEST_KEY + 1).saturating_sub(self.key.len());
        // one that is too long stays too long, and equals none
        self.key.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// What is looked for under the key that was just read.
    fn wanted_here(&self) -> Option<&'static Wanted> {
        let Some(Open::Object(members)) = self.open.last() else { return None };
        if !self.key.contains(&b'\\') || self.key.len() > LONGEST_KEY {
            return named(members, &self.key);
        }
        let mut quoted = Vec::with_capacity(self.key.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(&self.key);
        quoted.push(b'"');
        serde_json::from_slice::<String>(&quoted).ok().and_then(|key| named(members, key.as_bytes()))
    }

    /// A value begins with this byte.
    fn value(&mut self, byte: u8) -> usize {
        match (self.wanted, byte) {
            (Some(Wanted::Members(members)), b'{') => {
                self.elements += usize::from(matches!(self.open.last(), Some(Open::List(_))));
                return self.enter(Open::Object(members));
            }
            (Some(Wanted::Each(wanted)), b'[') => return self.enter(Open::List(wanted)),
            (Some(Wanted::Value(field)), _) => self.values[*field as usize].begin(),
            (Some(Wanted::Key(field)), _) => {
                let value = &mut self.values[*field as usize];
                value.begin();
                [b"\"", &*self.key, b"\""].into_iter().for_each(|part| value.push(part, field.bound()));
                value.end();
            }
            _ => {}
        }
        match byte {
            b'"' => self.state = State::Text { escaped: false },
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
        if let Some(Wanted::Value(field)) = self.wanted {
            self.values[*field as usize].push(piece, field.bound());
        }
    }

    /// A value is over.
    fn end_value(&mut self) {
        if let Some(Wanted::Value(field)) = self.wanted {
            let value = &mut self.values[*field as usize];
            value.end();
            self.stops += usize::from(*field == Field::Stop && value.get().is_some_and(is_word));
            let leaves = match self.goes_on {
                GoesOn::Always => false,
                GoesOn::Until(last) => last == *field,
                GoesOn::With(types) => {
                    let known = || types.iter().any(|known| value.get() == Some(known.as_bytes()));
                    *field == Field::Type && self.open.len() == 1 && !known()
                }
            };
            if leaves {
                self.state = State::Left;
                return;
            }
        }
        self.wanted = None;
        self.after_value();
    }

    fn text_value(&mut self, piece: &[u8], escaped: bool) -> usize {
        let end = end_of_text(piece, escaped);
        self.keep(&piece[..end.read]);
        match end.state {
            Some(escaped) => self.state = State::Text { escaped },
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
                    self.state = State::NestedText { depth, escaped: false };
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

    fn nested_text(&mut self, piece: &[u8], depth: usize, escaped: bool) -> usize {
        let end = end_of_text(piece, escaped);
        self.keep(&piece[..end.read]);
        self.state = match end.state {
            Some(escaped) => State::NestedText { depth, escaped },
            None => State::Nested { depth },
        };
        end.read
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
