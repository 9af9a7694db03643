//! Reads a text once, from its beginning to its end: hands out its keys, and its values as they are written. What is no strict
//! JSON is a fault, wherever it stands in what was read.

use crate::scan::{self, Depth, skip_space, string_end};
use crate::{Fault, Str, Tape, Text};

/// A text, as far as it has been read.
///
/// ```
/// use json_tape::Reader;
///
/// let mut reader = Reader::new(r#" {"a": [1, "x"], "b": {}} "#, 0);
/// reader.object()?;
/// while let Some(key) = reader.key()? {
///     match key.raw() {
///         b"a" => assert_eq!(reader.value()?, r#"[1, "x"]"#),
///         _ => assert_eq!(reader.value()?, "{}"),
///     }
/// }
/// reader.end()?;
/// # Ok::<(), json_tape::Fault>(())
/// ```
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Whether a container has just begun.
    is_first: bool,
    depth: Depth,
}

impl<'t> Reader<'t> {
    /// Begins to read a text at a place, which is no part of a character.
    #[must_use]
    pub fn new(text: &'t str, at: usize) -> Self {
        let at = skip_space(text.as_bytes(), at);
        Self { text, at, is_first: false, depth: Depth::default() }
    }

    /// The place of the next token in the text.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The first byte of the next token.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Enters an object; its members are had by [`key`](Self::key), each followed by its value.
    ///
    /// # Errors
    /// That none begins here.
    pub fn object(&mut self) -> Result<(), Fault> {
        self.enter(b'{')
    }

    /// Enters a list; its items are had by [`item`](Self::item), each followed by its value.
    ///
    /// # Errors
    /// That none begins here.
    pub fn list(&mut self) -> Result<(), Fault> {
        self.enter(b'[')
    }

    /// The next key of the object; none at its end, which is left.
    ///
    /// # Errors
    /// That neither comes next.
    pub fn key(&mut self) -> Result<Option<Str<'t>>, Fault> {
        if !self.goes_on(b'}')? {
            return Ok(None);
        }
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(Fault::Broken);
        }
        let (end, spelling) = string_end(self.text.as_bytes(), start + 1)?;
        self.to(scan::colon(self.text.as_bytes(), end)?);
        Ok(Some(Str::new(&self.text.as_bytes()[start..end], spelling)))
    }

    /// Whether the list has another item, which is next. At its end, it is left.
    ///
    /// # Errors
    /// That neither comes next.
    pub fn item(&mut self) -> Result<bool, Fault> {
        self.goes_on(b']')
    }

    /// The next value, as it is written.
    ///
    /// # Errors
    /// That it is none.
    pub fn value(&mut self) -> Result<&'t str, Fault> {
        let start = self.at;
        let end = scan::value(self.text.as_bytes(), start, &mut self.depth)?;
        self.to(end);
        self.text.get(start..end).ok_or(Fault::Broken)
    }

    /// The next value, noted on a tape, where its containers are nested at most `deepest` deep. Where it is beyond the bounds of
    /// a tape, there is none, and the value is still the next.
    ///
    /// # Errors
    /// That it is none.
    pub fn noted<'p>(&mut self, tape: &'p mut Tape, deepest: usize) -> Result<Option<Text<'t, 'p>>, Fault> {
        let (text, start) = (self.text.as_bytes(), self.at);
        match tape.read_value(text, start, deepest, usize::MAX..usize::MAX) {
            Ok(end) => {
                self.to(end);
                Ok(Some(tape.text(text, start, usize::MAX)))
            }
            Err(Fault::Broken) => Err(Fault::Broken),
            Err(Fault::TooDeep | Fault::TooMany | Fault::Duplicate) => Ok(None),
        }
    }

    /// Ends the reading of a text.
    ///
    /// # Errors
    /// That it goes on.
    pub fn end(self) -> Result<(), Fault> {
        if self.at == self.text.len() { Ok(()) } else { Err(Fault::Broken) }
    }

    fn enter(&mut self, bracket: u8) -> Result<(), Fault> {
        if self.peek() != Some(bracket) {
            return Err(Fault::Broken);
        }
        self.to(self.at + 1);
        self.is_first = true;
        Ok(())
    }

    /// Whether the container goes on; otherwise it is left.
    fn goes_on(&mut self, bracket: u8) -> Result<bool, Fault> {
        let is_first = std::mem::take(&mut self.is_first);
        match self.peek() {
            Some(byte) if byte == bracket => {
                self.to(self.at + 1);
                Ok(false)
            }
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.to(self.at + 1);
                Ok(true)
            }
            _ => Err(Fault::Broken),
        }
    }

    fn to(&mut self, at: usize) {
        self.at = skip_space(self.text.as_bytes(), at);
    }
}
