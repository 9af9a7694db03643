//! Where each string and each container of a text ends. Made in one pass, which checks the grammar.

use std::ops::Range;

use crate::Fault;
use crate::scan::{self, Visit, skip_space};
use crate::string::Spelling;
use crate::text::Text;

/// Where the strings and containers of a text end. Keeps its memory from one text to the next.
#[derive(Debug, Default)]
pub struct Tape {
    tokens: Vec<Token>,
    open: Vec<Open>,
    deepest: usize,
    skipped: Range<usize>,
}

/// A text has a token for so many of its bytes, about.
const BYTES_A_TOKEN: usize = 16;
/// How many tokens, and how many open containers, there is room for at first: as many as most texts need.
const FIRST_TOKENS: usize = 256;
const FIRST_OPEN: usize = 8;

/// A string or a container, in the order of their beginnings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// Where it ends: behind its last quote or bracket.
    pub(crate) end: u32,
    /// Of a container the number of the first token behind it; of a string its [`Spelling`].
    pub(crate) next: u32,
}

/// A container whose end has not come yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    token: usize,
    is_object: bool,
}

impl Tape {
    /// How many strings (keys included) and containers a text may have. Each takes 8 bytes.
    pub const MOST: usize = 1 << 20;

    /// Reads a text whose containers are nested at most `deepest` deep.
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
        let start = skip_space(text, 0);
        let end = self.read_value(text, start, deepest, skipped.clone())?;
        if skip_space(text, end) != text.len() {
            return Err(Fault::Broken);
        }
        Ok(self.text(text, start, skipped.start))
    }

    /// Reads the value that begins at a place of a text; the place behind it.
    pub(crate) fn read_value(
        &mut self,
        text: &[u8],
        at: usize,
        deepest: usize,
        skipped: Range<usize>,
    ) -> Result<usize, Fault> {
        self.tokens.clear();
        self.open.clear();
        if self.tokens.capacity() == 0 {
            self.tokens.reserve_exact((text.len() / BYTES_A_TOKEN).clamp(4, FIRST_TOKENS));
            self.open.reserve_exact(FIRST_OPEN);
        }
        // places are kept in 32 bits
        u32::try_from(text.len()).map_err(|_| Fault::TooMany)?;
        (self.deepest, self.skipped) = (deepest, skipped);
        scan::value(text, at, self)
    }

    /// What was read last of this text, from this place on.
    pub(crate) fn text<'t>(&self, text: &'t [u8], at: usize, skipped: usize) -> Text<'t, '_> {
        Text::new(text, &self.tokens, at, skipped)
    }

    fn push(&mut self, end: usize, next: usize) -> Result<(), Fault> {
        if self.tokens.len() == Self::MOST {
            return Err(Fault::TooMany);
        }
        self.tokens.push(Token { end: place(end), next: place(next) });
        Ok(())
    }
}

impl Visit for Tape {
    fn string(&mut self, end: usize, spelling: Spelling) -> Result<(), Fault> {
        self.push(end, spelling as usize)
    }

    fn open(&mut self, is_object: bool) -> Result<(), Fault> {
        if self.open.len() == self.deepest {
            return Err(Fault::TooDeep);
        }
        self.open.push(Open { token: self.tokens.len(), is_object });
        self.push(0, 0)
    }

    fn close(&mut self, is_object: bool, end: usize) -> Result<(), Fault> {
        let open = self.open.pop().filter(|open| open.is_object == is_object).ok_or(Fault::Broken)?;
        self.tokens[open.token] = Token { end: place(end), next: place(self.tokens.len()) };
        Ok(())
    }

    fn is_in_object(&self) -> Option<bool> {
        self.open.last().map(|open| open.is_object)
    }

    fn skipped(&mut self, at: usize) -> Result<Option<usize>, Fault> {
        if at != self.skipped.start {
            return Ok(None);
        }
        self.push(self.skipped.end, self.tokens.len() + 1)?;
        Ok(Some(self.skipped.end))
    }
}

/// Fits, since no text is longer.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
