//! A text that has been read: its values, and how to go from one to the next.

use std::ops::Range;

use crate::scan::skip_space;
use crate::string::Spelling;
use crate::tape::Token;
use crate::{Fault, Key, Str};

/// A text that has been read.
#[derive(Clone, Copy, Debug)]
pub struct Text<'t, 'p> {
    bytes: &'t [u8],
    tokens: &'p [Token],
    root: usize,
    /// Where the container begins that was skipped; beyond the text where none was.
    skipped: usize,
}

/// A value of a text: its place.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    at: u32,
    end: u32,
    /// The number of the first token that begins here or later.
    token: u32,
}

/// A place in a text.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    /// The number of the first token that begins here or later.
    token: u32,
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'t> {
    /// An object; its members are had by [`Text::sorted`].
    Object,
    /// A list; its items are had by [`Text::items`].
    List,
    /// A string.
    String(Str<'t>),
    /// A number, `true`, `false` or `null`, as it is written.
    Word(&'t [u8]),
    /// What the tape was told to skip.
    Skipped,
}

/// A member of an object.
#[derive(Debug)]
pub struct Member<'t> {
    /// Its key.
    pub key: Key<'t>,
    /// Its value.
    pub value: Value,
}

/// The members of the objects that are open while a text is visited, those of the innermost last.
#[derive(Debug, Default)]
pub struct Open<'t> {
    members: Vec<Member<'t>>,
    /// The bytes of keys that are no part of the text.
    decoded: usize,
}

/// So many members of an object are sorted as they come.
const MOST_INSERTED: usize = 16;

impl<'t, 'p> Text<'t, 'p> {
    pub(crate) fn new(bytes: &'t [u8], tokens: &'p [Token], root: usize, skipped: usize) -> Self {
        Self { bytes, tokens, root, skipped }
    }

    /// How many strings (keys included) and containers it has.
    #[must_use]
    pub fn values(&self) -> usize {
        self.tokens.len()
    }

    /// The value that the text is.
    #[must_use]
    pub fn root(&self) -> Value {
        self.value(Place { at: self.root, token: 0 })
    }

    /// What a value is.
    #[must_use]
    pub fn kind(&self, value: Value) -> Kind<'t> {
        match self.bytes[value.at as usize] {
            b'{' | b'[' if value.at as usize == self.skipped => Kind::Skipped,
            b'{' => Kind::Object,
            b'[' => Kind::List,
            b'"' => Kind::String(self.string(value)),
            _ => Kind::Word(self.raw(value)),
        }
    }

    /// The bytes of a value.
    #[must_use]
    pub fn raw(&self, value: Value) -> &'t [u8] {
        &self.bytes[value.at as usize..value.end as usize]
    }

    /// The items of a list, in their order.
    pub fn items(&self, list: Value) -> impl Iterator<Item = Value> + use<'t, 'p> {
        let text = *self;
        let mut next = text.inside(list);
        std::iter::from_fn(move || {
            let item = next.take()?;
            next = text.next(text.behind(item));
            Some(item)
        })
    }

    /// Adds the members of an object to the open ones, sorted by key, those of one key in their order. They are the ones at
    /// the range that is returned, until [`Open::close`].
    ///
    /// # Errors
    /// That a key has an escape that is none, or that there are too many.
    pub fn sorted(&self, object: Value, open: &mut Open<'t>) -> Result<Range<usize>, Fault> {
        let first = open.members.len();
        let mut next = self.inside(object);
        while let Some(at) = next {
            let behind = self.behind(at);
            let colon = skip_space(self.bytes, behind.at);
            let value = self.value(Place { at: skip_space(self.bytes, colon + 1), ..behind });
            open.insert(first, self.string(at), value)?;
            next = self.next(self.behind(value));
        }
        if open.members.len() - first > MOST_INSERTED {
            open.members[first..].sort_by(|one, other| one.key.cmp(&other.key));
        }
        Ok(first..open.members.len())
    }

    fn string(&self, value: Value) -> Str<'t> {
        let raw = self.raw(value);
        let spelling = match self.tokens[value.token as usize].next {
            0 => Spelling::Plain,
            1 => Spelling::Normal,
            _ => Spelling::Other,
        };
        Str::new(raw, spelling)
    }

    /// The value that begins at a place.
    fn value(&self, Place { at, token }: Place) -> Value {
        let end = match self.bytes[at] {
            b'"' | b'{' | b'[' => self.tokens[token as usize].end,
            _ => narrow(at + word_length(&self.bytes[at..])),
        };
        Value { at: narrow(at), end, token }
    }

    /// The first key or item of a container.
    fn inside(&self, container: Value) -> Option<Value> {
        let at = skip_space(self.bytes, container.at as usize + 1);
        let is_empty = matches!(self.bytes[at], b'}' | b']');
        (!is_empty).then(|| self.value(Place { at, token: container.token + 1 }))
    }

    /// The key or item behind the comma that follows a value.
    fn next(&self, behind: Place) -> Option<Value> {
        let at = skip_space(self.bytes, behind.at);
        (self.bytes[at] == b',').then(|| self.value(Place { at: skip_space(self.bytes, at + 1), ..behind }))
    }

    /// The place behind a value.
    fn behind(&self, value: Value) -> Place {
        let token = match self.bytes[value.at as usize] {
            b'"' => value.token + 1,
            b'{' | b'[' => self.tokens[value.token as usize].next,
            _ => value.token,
        };
        Place { at: value.end as usize, token }
    }
}

/// Fits, since no text is longer.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl<'t> Open<'t> {
    /// How many members the objects may have that are open at the same time. Each takes 56 bytes.
    pub const MOST: usize = 1 << 16;
    /// How many bytes keys with escapes may take that are open at the same time.
    pub const MOST_DECODED: usize = 1 << 20;

    /// An open member.
    #[must_use]
    pub fn get(&self, at: usize) -> &Member<'t> {
        &self.members[at]
    }

    /// Whether two members of a sorted range have the same key.
    #[must_use]
    pub fn has_duplicates(&self, range: Range<usize>) -> bool {
        self.members[range].windows(2).any(|pair| *pair[0].key == *pair[1].key)
    }

    /// Takes a key out of an open member, which is not looked at again.
    pub fn take_key(&mut self, at: usize) -> Key<'t> {
        let member = &mut self.members[at];
        self.decoded -= member.key.decoded();
        std::mem::take(&mut member.key)
    }

    /// No object is open any more.
    pub fn clear(&mut self) {
        self.members.clear();
        self.decoded = 0;
    }

    /// The object with these members is done.
    pub fn close(&mut self, range: Range<usize>) {
        if self.decoded == 0 {
            return self.members.truncate(range.start);
        }
        let gone = self.members.drain(range.start..);
        self.decoded -= gone.map(|member| member.key.decoded()).sum::<usize>();
    }

    /// Adds a member of the object whose members begin at `first`: at its place, while they are few, and behind them once they are
    /// many.
    fn insert(&mut self, first: usize, key: Str<'t>, value: Value) -> Result<(), Fault> {
        if self.members.len() == Self::MOST || key.has_escapes() && self.decoded + key.raw().len() > Self::MOST_DECODED
        {
            return Err(Fault::TooMany);
        }
        let key = Key::of(key)?;
        self.decoded += key.decoded();
        let mut at = self.members.len();
        if at - first < MOST_INSERTED {
            // behind those of the same key
            while at > first && *key < *self.members[at - 1].key {
                at -= 1;
            }
        }
        self.members.insert(at, Member { key, value });
        Ok(())
    }
}

/// The length of the number or word that these bytes begin with.
fn word_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| OF_WORDS[usize::from(**byte)]).count()
}

/// The bytes of which numbers and words are made.
const OF_WORDS: [bool; 256] = {
    let mut of_words = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        of_words[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'+' | b'-' | b'.');
        byte += 1;
    }
    of_words
};
