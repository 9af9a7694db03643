//! The grammar of JSON (RFC 8259), strictly: where a value ends. Whether the text is UTF-8 is for the caller to know.

use crate::Fault;
use crate::block::{self, Masks};
use crate::string::Spelling;

/// What is done with the strings and containers of a value that is read.
pub(crate) trait Visit {
    /// A string ends here.
    fn string(&mut self, end: usize, spelling: Spelling) -> Result<(), Fault>;
    /// A container begins.
    fn open(&mut self, is_object: bool) -> Result<(), Fault>;
    /// The innermost container ends here, which must be of this kind.
    fn close(&mut self, is_object: bool, end: usize) -> Result<(), Fault>;
    /// Whether the innermost container is an object; `None` outside of all.
    fn is_in_object(&self) -> Option<bool>;
    /// Where the container ends that begins here, if it is not to be read.
    fn skipped(&mut self, _: usize) -> Result<Option<usize>, Fault> {
        Ok(None)
    }
}

/// The kinds of the containers that are open. There may be any number: each beyond the first 64 takes a byte.
#[derive(Debug, Default)]
pub(crate) struct Depth {
    /// Whether they are objects, a bit for each of the first ones, that of the last of these lowest.
    near: u64,
    length: u32,
    far: Vec<bool>,
}

impl Visit for Depth {
    fn string(&mut self, _: usize, _: Spelling) -> Result<(), Fault> {
        Ok(())
    }

    fn open(&mut self, is_object: bool) -> Result<(), Fault> {
        if self.length < u64::BITS {
            self.near = self.near << 1 | u64::from(is_object);
            self.length += 1;
        } else {
            self.far.push(is_object);
        }
        Ok(())
    }

    fn close(&mut self, is_object: bool, _: usize) -> Result<(), Fault> {
        if self.is_in_object() != Some(is_object) {
            return Err(Fault::Broken);
        }
        if self.far.pop().is_none() {
            self.near >>= 1;
            self.length -= 1;
        }
        Ok(())
    }

    fn is_in_object(&self) -> Option<bool> {
        match self.far.last() {
            Some(is_object) => Some(*is_object),
            None => (self.length > 0).then_some(self.near & 1 == 1),
        }
    }
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
    /// A comma, or the end of a container.
    After,
}

/// The place behind the value that begins here.
pub(crate) fn value(text: &[u8], mut at: usize, visit: &mut impl Visit) -> Result<usize, Fault> {
    let mut next = Next::Value;
    loop {
        let byte = *text.get(at).ok_or(Fault::Broken)?;
        (at, next) = match (next, byte) {
            (Next::Value | Next::FirstItem, b'"') => (string(text, at, visit)?, Next::After),
            (Next::Value | Next::FirstItem, b'[' | b'{') => match visit.skipped(at)? {
                Some(end) => (end, Next::After),
                None => {
                    let is_object = byte == b'{';
                    visit.open(is_object)?;
                    (at + 1, if is_object { Next::FirstKey } else { Next::FirstItem })
                }
            },
            (Next::FirstItem | Next::After, b']') => (close(at, false, visit)?, Next::After),
            (Next::FirstKey | Next::After, b'}') => (close(at, true, visit)?, Next::After),
            (Next::FirstKey | Next::Key, b'"') => (colon(text, string(text, at, visit)?)?, Next::Value),
            (Next::After, b',') => (at + 1, if visit.is_in_object() == Some(true) { Next::Key } else { Next::Value }),
            (Next::Value | Next::FirstItem, _) => (word(text, at).ok_or(Fault::Broken)?, Next::After),
            (Next::Key | Next::FirstKey | Next::After, _) => return Err(Fault::Broken),
        };
        if next == Next::After && visit.is_in_object().is_none() {
            return Ok(at);
        }
        at = skip_space(text, at);
    }
}

fn close(at: usize, is_object: bool, visit: &mut impl Visit) -> Result<usize, Fault> {
    visit.close(is_object, at + 1)?;
    Ok(at + 1)
}

fn string(text: &[u8], at: usize, visit: &mut impl Visit) -> Result<usize, Fault> {
    let (end, spelling) = string_end(text, at + 1)?;
    visit.string(end, spelling)?;
    Ok(end)
}

/// The place behind the colon that follows a key.
pub(crate) fn colon(text: &[u8], at: usize) -> Result<usize, Fault> {
    let at = skip_space(text, at);
    if text.get(at) == Some(&b':') { Ok(at + 1) } else { Err(Fault::Broken) }
}

/// The place behind white space.
#[inline]
pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The place behind a string, from behind its first quote, and how it is spelled.
#[inline]
pub(crate) fn string_end(text: &[u8], mut at: usize) -> Result<(usize, Spelling), Fault> {
    // most strings are short
    if let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let Masks { quotes, backslashes, controls } = Masks::of_16(block);
        let first = (quotes | backslashes | controls).trailing_zeros();
        if quotes >> first.min(15) & 1 == 1 {
            return Ok((at + first as usize + 1, Spelling::Plain));
        }
        at += first.min(16) as usize;
    }
    long_string_end(text, at)
}

fn long_string_end(text: &[u8], mut at: usize) -> Result<(usize, Spelling), Fault> {
    let (mut kinds, mut carried) = (0, false);
    loop {
        let rest = text.get(at..).ok_or(Fault::Broken)?;
        let mut tail = [0; 64];
        let block = match rest.first_chunk::<64>() {
            Some(block) => block,
            None => {
                // the zeros behind the text are control characters
                tail[..rest.len()].copy_from_slice(rest);
                &tail
            }
        };
        let masks = Masks::of_64(block);
        let (mut escaped, is_carried) = masks.escaped(carried);
        let ends = masks.quotes & !escaped;
        let before_end = (ends & ends.wrapping_neg()).wrapping_sub(1);
        if masks.controls & before_end != 0 {
            return Err(Fault::Broken);
        }
        escaped &= before_end;
        if escaped != 0 {
            // of the letters that nearly all escapes have, all at once
            let short = escaped & (masks.quotes | masks.backslashes | block::of_64(block, b'n'));
            kinds |= if short == 0 { 0 } else { SHORT };
            escaped &= !short;
        }
        while escaped != 0 {
            let letter = escaped.trailing_zeros() as usize;
            let kind = ESCAPES[usize::from(block[letter])];
            if kind & BY_NUMBER != 0 && !is_unit(text.get(at + letter + 1..at + letter + 5)) {
                return Err(Fault::Broken);
            }
            kinds |= kind;
            escaped &= escaped - 1;
        }
        if kinds & NONE != 0 {
            return Err(Fault::Broken);
        }
        if ends != 0 {
            let spelling = match kinds {
                0 => Spelling::Plain,
                SHORT => Spelling::Normal,
                _ => Spelling::Other,
            };
            return Ok((at + ends.trailing_zeros() as usize + 1, spelling));
        }
        carried = is_carried;
        at += 64;
    }
}

/// Kinds of escapes by their letters: the shortest there is of what it stands for; one that could be shorter; one by the number of a
/// code unit; and none.
const SHORT: u8 = 1;
const LONG: u8 = 2;
const BY_NUMBER: u8 = 4;
const NONE: u8 = 8;
const ESCAPES: [u8; 256] = {
    let mut kinds = [NONE; 256];
    let short = b"\"\\bfnrt";
    let mut at = 0;
    while at < short.len() {
        kinds[short[at] as usize] = SHORT;
        at += 1;
    }
    kinds[b'/' as usize] = LONG;
    kinds[b'u' as usize] = BY_NUMBER;
    kinds
};

fn is_unit(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// The place behind the number, `true`, `false` or `null` that begins here.
pub(crate) fn word(text: &[u8], at: usize) -> Option<usize> {
    let literal = |word: &[u8]| text[at..].starts_with(word).then_some(at + word.len());
    match text.get(at)? {
        b't' => literal(b"true"),
        b'f' => literal(b"false"),
        b'n' => literal(b"null"),
        _ => number(text, at),
    }
}

fn number(text: &[u8], mut at: usize) -> Option<usize> {
    at += usize::from(text.get(at) == Some(&b'-'));
    at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        at = digits(text, at)?;
    }
    Some(at)
}

/// The place behind one digit or more.
fn digits(text: &[u8], at: usize) -> Option<usize> {
    let count = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}
