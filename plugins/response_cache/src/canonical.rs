//! A call's JSON as the one hash that all its spellings share, made without a copy or a tree of it. What in it keeps the call
//! out of the cache is found on the way.
//!
//! What is hashed: members sorted by key, escapes resolved; numbers as they are written, since `1` and `1.0` are alike only to
//! some servers. Every value says by its first byte what it is, and where it ends by a byte that no UTF-8 has, so that no two
//! calls are hashed from the same bytes.

use json_tape::{Fault, Feed, Kind, Open, Str, Tape, Text, Value};
use plugin_api::Endpoint;

use crate::bypass::Bypass;
use crate::cacheability::{self, Place};

/// How deep values may be nested.
const DEEPEST: usize = 96;
/// The end of a string, number or word.
const END: &[u8] = &[0xFF];

/// What all spellings of a call share, and no other call has.
pub(crate) type Digest = [u8; 32];

/// The digest of a call.
///
/// # Errors
/// What keeps the call out of the cache.
pub(crate) fn digest(endpoint: Endpoint, text: &[u8]) -> Result<Digest, Bypass> {
    let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
    std::str::from_utf8(text).map_err(|_| Bypass::Unreadable)?;
    let mut tape = Tape::default();
    let text = tape.read(text, DEEPEST)?;
    let findings = cacheability::Findings::default();
    let mut writer = Writer { endpoint, text, open: Open::default(), out: Feed::default(), findings };
    match text.kind(text.root()) {
        Kind::Object => writer.object(text.root(), Place::Call)?,
        Kind::List | Kind::String(_) | Kind::Word(_) => return Err(Bypass::Unreadable),
    }
    writer.findings.verdict(endpoint)?;
    Ok(writer.out.finish())
}

impl From<Fault> for Bypass {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken | Fault::TooDeep => Self::Unreadable,
            Fault::TooMany => Self::TooLarge,
        }
    }
}

struct Writer<'t, 'p> {
    endpoint: Endpoint,
    text: Text<'t, 'p>,
    open: Open<'t>,
    out: Feed,
    findings: cacheability::Findings,
}

impl<'t> Writer<'t, '_> {
    fn value(&mut self, value: Value, place: Place) -> Result<(), Bypass> {
        match self.text.kind(value) {
            Kind::Object => self.object(value, place)?,
            Kind::List => {
                self.out.push(b"[");
                for item in self.text.items(value) {
                    self.value(item, place.item())?;
                }
                self.out.push(b"]");
            }
            Kind::String(string) => self.string(string)?,
            Kind::Word(word) => {
                self.out.push(b"w");
                self.out.push(word);
                self.out.push(END);
            }
        }
        Ok(())
    }

    fn object(&mut self, object: Value, place: Place) -> Result<(), Bypass> {
        let members = self.text.sorted(object, &mut self.open)?;
        if self.open.has_duplicates(members.clone()) {
            return Err(Bypass::Unreadable);
        }
        self.out.push(b"{");
        for at in members.clone() {
            let key = self.open.take_key(at);
            let value = self.open.get(at).value;
            let inner = place.of(self.endpoint, &key);
            if !place.ignores(self.endpoint, &key) && !self.is_left_out(inner, value)? {
                self.out.push(b"s");
                self.out.push(&key);
                self.out.push(END);
                self.value(value, inner)?;
            }
            self.findings.member(self.endpoint, place, &key, self.text.raw(value));
        }
        self.out.push(b"}");
        self.open.close(members);
        Ok(())
    }

    /// Whether a value is an object that may as well not be there: all that it has means nothing.
    fn is_left_out(&mut self, place: Place, value: Value) -> Result<bool, Bypass> {
        if !place.may_be_left_out() || !matches!(self.text.kind(value), Kind::Object) {
            return Ok(false);
        }
        let members = self.text.sorted(value, &mut self.open)?;
        let twice = self.open.has_duplicates(members.clone());
        let ignored = members.clone().all(|at| place.ignores(self.endpoint, &self.open.get(at).key));
        self.open.close(members);
        if twice { Err(Bypass::Unreadable) } else { Ok(ignored) }
    }

    fn string(&mut self, string: Str<'t>) -> Result<(), Bypass> {
        self.out.push(b"s");
        string.decode(|piece| self.out.push(piece))?;
        self.out.push(END);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
