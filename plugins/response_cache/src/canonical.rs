//! The digest of a call: one hash for all spellings of its JSON, computed without a copy or a tree of it. Reasons to bypass the
//! cache are found on the way.
//!
//! Each value is hashed in its exact form ([`json_tape`]), without the members that do not affect the answer. For messages that
//! were hashed before, as the turns of a conversation, their digest stands in place of the list; the list is not read again.

use std::cell::RefCell;

use json_tape::{Fault, Feed, Kind, Open, Tape, Text, Value};
use plugin_api::{Endpoint, MessagesDigest};

use crate::bypass::Bypass;
use crate::cacheability::{Findings, NamedMembers, Place};

/// How deep values may be nested. A message may be as deep as where it is hashed as a turn, plus its list and the call.
const DEEPEST: usize = 2 + 127;

/// The digest of a call. All spellings of a call share it, and no other call has it.
pub(crate) type Digest = [u8; 32];

/// The longest text outside of its messages, in bytes, that is read in memory which a thread keeps from one call to the next.
const SHORT: usize = 16 << 10;

/// What reading a call takes.
#[derive(Default)]
struct Scratch {
    tape: Tape,
    out: Feed,
}

thread_local! {
    /// For short texts: at most 150 KiB.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Computes the digest of a call. With the digest of its messages, the messages are not read again.
///
/// # Errors
/// Why the call bypasses the cache.
pub(crate) fn digest(endpoint: Endpoint, text: &[u8], messages: Option<&MessagesDigest>) -> Result<Digest, Bypass> {
    let known = messages.map_or(0, |messages| messages.at.len());
    if text.len() > known + SHORT {
        return digest_in(&mut Scratch::default(), endpoint, text, messages);
    }
    SCRATCH.with_borrow_mut(|scratch| digest_in(scratch, endpoint, text, messages))
}

fn digest_in(
    Scratch { tape, out }: &mut Scratch,
    endpoint: Endpoint,
    text: &[u8],
    messages: Option<&MessagesDigest>,
) -> Result<Digest, Bypass> {
    // a text before may have been given up
    out.forget();
    let json = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
    let mark = text.len() - json.len();
    let skipped = messages.and_then(|messages| {
        Some(messages.at.start.checked_sub(mark)?..messages.at.end.checked_sub(mark).filter(|end| *end <= json.len())?)
    });
    let text = match &skipped {
        Some(skipped) => {
            is_text(json.get(..skipped.start).unwrap_or_default())?;
            is_text(json.get(skipped.end..).unwrap_or_default())?;
            tape.read_around(json, DEEPEST, skipped.clone())?
        }
        None => {
            is_text(json)?;
            tape.read(json, DEEPEST)?
        }
    };
    let (open, findings) = Default::default();
    let named = NamedMembers::of(endpoint);
    let mut writer = Writer { endpoint, named, text, messages, open, out, findings };
    match text.kind(text.root()) {
        Kind::Object => writer.object(text.root(), Place::Call)?,
        Kind::List | Kind::String(_) | Kind::Word(_) | Kind::Skipped => return Err(Bypass::Unreadable),
    }
    writer.findings.verdict(endpoint)?;
    Ok(writer.out.finish())
}

fn is_text(bytes: &[u8]) -> Result<(), Bypass> {
    std::str::from_utf8(bytes).map(drop).map_err(|_| Bypass::Unreadable)
}

impl From<Fault> for Bypass {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken | Fault::TooDeep | Fault::Duplicate => Self::Unreadable,
            Fault::TooMany => Self::TooLarge,
        }
    }
}

struct Writer<'t, 'p, 'o> {
    endpoint: Endpoint,
    named: NamedMembers,
    text: Text<'t, 'p>,
    messages: Option<&'p MessagesDigest>,
    open: Open<'t>,
    out: &'o mut Feed,
    findings: Findings,
}

impl Writer<'_, '_, '_> {
    fn value(&mut self, value: Value, place: Place) -> Result<(), Bypass> {
        match self.text.kind(value) {
            Kind::Skipped => {
                let messages = self.messages.ok_or(Bypass::Unreadable)?;
                self.out.push(b"m");
                self.out.push(&messages.turn);
                self.out.push(&messages.form);
            }
            _ if place == Place::Elsewhere => self.text.feed_exact(value, &mut self.open, self.out)?,
            Kind::Object => self.object(value, place)?,
            Kind::List => {
                self.out.push(b"[");
                for item in self.text.items(value) {
                    self.value(item, place.item())?;
                }
                self.out.push(b"]");
            }
            Kind::String(string) => string.feed_exact(self.out)?,
            Kind::Word(word) => self.out.push_word(word),
        }
        Ok(())
    }

    /// An object, without the members that do not affect the answer.
    fn object(&mut self, object: Value, place: Place) -> Result<(), Bypass> {
        let members = self.text.sorted(object, &mut self.open)?;
        if self.open.has_duplicates(members.clone()) {
            return Err(Bypass::Unreadable);
        }
        self.out.push(b"{");
        for at in members.clone() {
            let key = self.open.take_key(at);
            let value = self.open.get(at).value;
            if place == Place::Call && !self.named.may_name(&key) {
                self.out.push_key(&key);
                self.value(value, Place::Elsewhere)?;
                continue;
            }
            let inner = place.of(self.endpoint, &key);
            if !place.ignores(self.endpoint, &key) && !self.is_left_out(inner, value)? {
                self.out.push_key(&key);
                self.value(value, inner)?;
            }
            self.findings.member(self.endpoint, place, &key, self.text.raw(value));
        }
        self.out.push(b"}");
        self.open.close(members);
        Ok(())
    }

    /// Whether a value is an object of which no member affects the answer, so that it counts as absent.
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
}

#[cfg(test)]
mod tests;
