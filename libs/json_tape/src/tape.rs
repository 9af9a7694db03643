//! Where each string and each container of a text ends. Made in one pass, which checks the grammar.

use std::ops::Range;

use crate::Fault;
use crate::string::plain_length;
use crate::text::{Text, word_length};

/// Where the strings and containers of a text end. Keeps its memory from one text to the next.
#[derive(Debug, Default)]
pub struct Tape {
    tokens: Vec<Token>,
    open: Vec<Open>,
}

/// A string or a container, in the order of their beginnings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// Where it ends: behind its last quote or bracket.
    pub(crate) end: u32,
    /// Of a container the number of the first token behind it; of a string whether it has escapes.
    pub(crate) next: u32,
}

/// A container whose end has not come yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    token: usize,
    is_object: bool,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// A value, or the end of an empty list.
    FirstItem,
    Key,
    /// A key, or the end of an empty object.
    FirstKey,
    /// A comma, the end of a container, or of the text.
    After,
}

impl Tape {
    /// How many strings (keys included) and containers a text may have. Each takes 8 bytes.
    pub const MOST: usize = 1 << 20;

    /// Reads a text whose containers are nested at most `deepest` deep.
    ///
    /// Numbers and words are not checked beyond their characters, nor are escapes.
    ///
    /// # Errors
    /// Why it is not visited.
    pub fn read<'t>(&mut self, text: &'t [u8], deepest: usize) -> Result<Text<'t, '_>, Fault> {
        self.read_around(text, deepest, usize::MAX..usize::MAX)
    }

    /// Reads a text, but for a container in it: the bytes at `skipped`, which becomes one value of the kind
    /// [`Skipped`](crate::Kind::Skipped). Where no value begins there, nothing is skipped.
    ///
    /// # Errors
    /// Why it is not visited.
    pub fn read_around<'t>(
        &mut self,
        text: &'t [u8],
        deepest: usize,
        skipped: Range<usize>,
    ) -> Result<Text<'t, '_>, Fault> {
        self.tokens.clear();
        self.open.clear();
        // places are kept in 32 bits
        u32::try_from(text.len()).map_err(|_| Fault::TooMany)?;
        let start = skip_space(text, 0);
        let mut at = start;
        let mut next = Next::Value;
        while let Some(&byte) = text.get(at) {
            (at, next) = match (next, byte) {
                (Next::Value | Next::FirstItem, b'[' | b'{') if at == skipped.start => {
                    self.push(skipped.end, self.tokens.len() + 1)?;
                    (skipped.end, Next::After)
                }
                (Next::Value | Next::FirstItem, b'"') => (self.string(text, at)?, Next::After),
                (Next::Value | Next::FirstItem, b'{') => (self.open(at, true, deepest)?, Next::FirstKey),
                (Next::Value | Next::FirstItem, b'[') => (self.open(at, false, deepest)?, Next::FirstItem),
                (Next::FirstItem | Next::After, b']') => (self.close(at, false)?, Next::After),
                (Next::FirstKey | Next::After, b'}') => (self.close(at, true)?, Next::After),
                (Next::FirstKey | Next::Key, b'"') => {
                    let colon = skip_space(text, self.string(text, at)?);
                    if text.get(colon) != Some(&b':') {
                        return Err(Fault::Broken);
                    }
                    (colon + 1, Next::Value)
                }
                (Next::After, b',') => match self.open.last() {
                    Some(open) => (at + 1, if open.is_object { Next::Key } else { Next::Value }),
                    None => return Err(Fault::Broken),
                },
                (Next::Value | Next::FirstItem, _) => match word_length(&text[at..]) {
                    0 => return Err(Fault::Broken),
                    length => (at + length, Next::After),
                },
                (Next::Key | Next::FirstKey | Next::After, _) => return Err(Fault::Broken),
            };
            at = skip_space(text, at);
        }
        if next != Next::After || !self.open.is_empty() {
            return Err(Fault::Broken);
        }
        Ok(Text::new(text, &self.tokens, start, skipped.start))
    }

    fn push(&mut self, end: usize, next: usize) -> Result<(), Fault> {
        if self.tokens.len() == Self::MOST {
            return Err(Fault::TooMany);
        }
        self.tokens.push(Token { end: place(end), next: place(next) });
        Ok(())
    }

    /// A string that begins here; where it ends.
    fn string(&mut self, text: &[u8], at: usize) -> Result<usize, Fault> {
        let mut end = at + 1;
        let mut has_escapes = false;
        loop {
            let rest = text.get(end..).ok_or(Fault::Broken)?;
            end += plain_length::<true>(rest);
            if *text.get(end).ok_or(Fault::Broken)? == b'"' {
                self.push(end + 1, usize::from(has_escapes))?;
                return Ok(end + 1);
            }
            has_escapes = true;
            end += 2;
        }
    }

    fn open(&mut self, at: usize, is_object: bool, deepest: usize) -> Result<usize, Fault> {
        if self.open.len() == deepest {
            return Err(Fault::TooDeep);
        }
        self.open.push(Open { token: self.tokens.len(), is_object });
        self.push(0, 0)?;
        Ok(at + 1)
    }

    fn close(&mut self, at: usize, is_object: bool) -> Result<usize, Fault> {
        let open = self.open.pop().filter(|open| open.is_object == is_object).ok_or(Fault::Broken)?;
        self.tokens[open.token] = Token { end: place(at + 1), next: place(self.tokens.len()) };
        Ok(at + 1)
    }
}

/// Fits, since no text is longer.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}
