//! A call's JSON in the one form that all its spellings share, written without a tree of it. What in it keeps the call
//! out of the cache is found on the way.
//!
//! Keys are sorted and escapes resolved; numbers keep their text, since `1` and `1.0` are alike only to some servers.
//! Every value says what it is and how long, so that no two texts share a form. A long string is there as its hash.

use memchr::memchr2;
use plugin_api::Endpoint;

use crate::bypass::Bypass;
use crate::rules::{self, Place};

/// How deep values may be nested.
const DEEPEST: usize = 96;
/// The longest string that is written as it is, in bytes.
const LONGEST: usize = 1024;

/// The form of a call.
///
/// # Errors
/// What keeps the call out of the cache.
pub(crate) fn form(endpoint: Endpoint, text: &[u8]) -> Result<Vec<u8>, Bypass> {
    let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
    let form = Vec::with_capacity(text.len().min(16 << 10));
    let mut writer = Writer { endpoint, text, at: 0, form, members: Vec::new(), rules: rules::Seen::default() };
    writer.space();
    if writer.peek() != Some(b'{') {
        return Err(Bypass::Unreadable);
    }
    writer.object(Place::Call, 0)?;
    writer.space();
    if writer.at < text.len() {
        return Err(Bypass::Unreadable);
    }
    writer.rules.judge(endpoint)?;
    Ok(writer.form)
}

struct Writer<'a> {
    endpoint: Endpoint,
    text: &'a [u8],
    at: usize,
    form: Vec<u8>,
    /// The members of the objects that are open, each by where in the form it begins, its key ends, and it ends.
    members: Vec<Member>,
    rules: rules::Seen,
}

#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
    /// Whether it means anything.
    counts: bool,
}

impl Writer<'_> {
    fn value(&mut self, place: Place, depth: usize) -> Result<(), Bypass> {
        if depth > DEEPEST {
            return Err(Bypass::Unreadable);
        }
        match self.peek() {
            Some(b'{') => self.object(place, depth),
            Some(b'[') => self.list(place, depth),
            Some(b'"') => self.string(),
            Some(_) => self.word(),
            None => Err(Bypass::Unreadable),
        }
    }

    fn object(&mut self, place: Place, depth: usize) -> Result<(), Bypass> {
        let (start, first) = (self.form.len(), self.members.len());
        self.at += 1;
        self.form.push(b'{');
        self.space();
        if !self.take(b'}') {
            loop {
                self.member(place, depth)?;
                self.space();
                if self.take(b'}') {
                    break;
                }
                self.expect(b',')?;
                self.space();
            }
        }
        self.sort(start + 1, first)?;
        self.members.truncate(first);
        self.form.push(b'}');
        Ok(())
    }

    fn member(&mut self, place: Place, depth: usize) -> Result<(), Bypass> {
        let start = self.form.len();
        if self.peek() != Some(b'"') {
            return Err(Bypass::Unreadable);
        }
        self.string()?;
        let key_end = self.form.len();
        self.space();
        self.expect(b':')?;
        self.space();
        let inner = place.of(self.endpoint, key(&self.form[start..]));
        let from = self.at;
        self.value(inner, depth + 1)?;
        let (written, value) = (&self.form[start..], &self.text[from..self.at]);
        let (key, form) = (key(&written[..key_end - start]), &written[key_end - start..]);
        self.rules.member(self.endpoint, place, key, value);
        let counts = !place.ignores(self.endpoint, key, form);
        self.members.push(Member { start, key_end, end: self.form.len(), counts });
        Ok(())
    }

    /// Puts the members of an object in the order of their keys, and leaves those out that mean nothing.
    fn sort(&mut self, start: usize, first: usize) -> Result<(), Bypass> {
        let (form, members) = (&self.form, &mut self.members[first..]);
        let key_of = |member: &Member| &form[member.start..member.key_end];
        let sorted = members.windows(2).all(|pair| key_of(&pair[0]) < key_of(&pair[1]));
        if sorted && members.iter().all(|member| member.counts) {
            return Ok(());
        }
        members.sort_unstable_by(|a, b| key_of(a).cmp(key_of(b)));
        if members.windows(2).any(|pair| key_of(&pair[0]) == key_of(&pair[1])) {
            return Err(Bypass::Unreadable);
        }
        let old = self.form.split_off(start);
        for member in self.members[first..].iter().filter(|member| member.counts) {
            self.form.extend_from_slice(&old[member.start - start..member.end - start]);
        }
        Ok(())
    }

    fn list(&mut self, place: Place, depth: usize) -> Result<(), Bypass> {
        self.at += 1;
        self.form.push(b'[');
        self.space();
        if !self.take(b']') {
            loop {
                self.value(place.item(), depth + 1)?;
                self.space();
                if self.take(b']') {
                    break;
                }
                self.expect(b',')?;
                self.space();
            }
        }
        self.form.push(b']');
        Ok(())
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), Bypass> {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        if length == 0 {
            return Err(Bypass::Unreadable);
        }
        self.form.push(b'w');
        self.form.extend_from_slice(&rest[..length]);
        self.form.push(0);
        self.at += length;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Bypass> {
        self.at += 1;
        let mut string = Text::begin(&mut self.form);
        loop {
            let rest = self.text.get(self.at..).ok_or(Bypass::Unreadable)?;
            let plain = memchr2(b'"', b'\\', rest).ok_or(Bypass::Unreadable)?;
            string.push(&rest[..plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                string.end();
                return Ok(());
            }
            let (bytes, length, taken) = escaped(&rest[plain + 1..]).ok_or(Bypass::Unreadable)?;
            string.push(&bytes[..length]);
            self.at += taken;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Bypass> {
        if self.take(byte) { Ok(()) } else { Err(Bypass::Unreadable) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// The bytes of a string's form; none of a long one.
fn key(form: &[u8]) -> &[u8] {
    if form.first() == Some(&b's') { form.get(5..).unwrap_or_default() } else { &[] }
}

/// A string on its way into the form: its length and itself, or, once it is long, its hash.
struct Text<'a> {
    form: &'a mut Vec<u8>,
    start: usize,
    hasher: Option<blake3::Hasher>,
}

impl<'a> Text<'a> {
    fn begin(form: &'a mut Vec<u8>) -> Self {
        let start = form.len();
        form.extend_from_slice(b"s\0\0\0\0");
        Self { form, start, hasher: None }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        } else if self.form.len() - self.start - 5 + bytes.len() > LONGEST {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&self.form[self.start + 5..]).update(bytes);
            self.form.truncate(self.start);
            self.hasher = Some(hasher);
        } else {
            self.form.extend_from_slice(bytes);
        }
    }

    fn end(self) {
        if let Some(hasher) = self.hasher {
            self.form.push(b'S');
            self.form.extend_from_slice(hasher.finalize().as_bytes());
        } else {
            let length = u32::try_from(self.form.len() - self.start - 5).unwrap_or(u32::MAX);
            self.form[self.start + 1..self.start + 5].copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// What an escape stands for, behind its backslash: its bytes, how many they are, and how many the escape had.
fn escaped(rest: &[u8]) -> Option<([u8; 4], usize, usize)> {
    let one = |byte: u8| Some(([byte, 0, 0, 0], 1, 1));
    match rest.first()? {
        byte @ (b'"' | b'\\' | b'/') => one(*byte),
        b'b' => one(8),
        b'f' => one(12),
        b'n' => one(b'\n'),
        b'r' => one(b'\r'),
        b't' => one(b'\t'),
        b'u' => {
            let unit = unit(rest.get(1..5)?)?;
            let low = || {
                let next = rest.get(5..11)?;
                unit_of_pair(next).filter(|low| (0xDC00..0xE000).contains(low))
            };
            let (code, taken) = match unit {
                0xD800..0xDC00 => match low() {
                    Some(low) => (0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), 11),
                    None => (unit, 5),
                },
                _ => (unit, 5),
            };
            let (bytes, length) = utf8(code);
            Some((bytes, length, taken))
        }
        _ => None,
    }
}

fn unit_of_pair(next: &[u8]) -> Option<u32> {
    unit(next.strip_prefix(b"\\u")?)
}

fn unit(digits: &[u8]) -> Option<u32> {
    let digit = |value: u32, byte: &u8| Some(value << 4 | char::from(*byte).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}

/// UTF-8, also of half a surrogate pair, whose bytes no text has.
fn utf8(code: u32) -> ([u8; 4], usize) {
    if let Some(char) = char::from_u32(code) {
        let mut bytes = [0; 4];
        let length = char.encode_utf8(&mut bytes).len();
        return (bytes, length);
    }
    let byte = |bits: u32| (bits & 0xFF) as u8;
    ([byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F)), 0], 3)
}

#[cfg(test)]
mod tests;
