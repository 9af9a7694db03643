//! Decides past calls by the rules, as far as their rows in the ledger tell. What a row lacks is not guessed: where it matters, the model
//! is not known, and neither is that of the calls that go on from it.

use std::collections::HashMap;
use std::sync::Arc;

use plugin_api::{PastCall, Replay, Replayed};

use crate::condition::{CallerNames, Subject};
use crate::settings::{Config, Pin, Router, escalation};
use crate::{header_text, trouble};

/// So many turns and conversations are remembered at least, and twice as many at most.
const FEWEST: usize = 500_000;
/// What the row of a call lacks whose conversation began before the first row that is read.
const BEGINNING: &str = "the beginning of its conversation";
/// What it lacks where an error may have moved its conversation.
const EARLIER_ERROR: &str = "the model of an earlier error, or its text";

/// What chooses.
#[derive(Debug)]
pub(crate) struct Replayer {
    names: Vec<(Box<str>, Router)>,
    /// The names of models and rules, each once.
    texts: Vec<Arc<str>>,
    kept: Kept,
}

/// What conversations keep, by a hash: what was used since the last rotation, and before it.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<[u8; 16], Past>,
    old: HashMap<[u8; 16], Past>,
}

/// What a conversation keeps: a model and a rule by their places, or what is lacking to know it.
#[derive(Clone, Copy, Debug)]
enum Past {
    Chosen { model: u32, rule: u32 },
    Unknown(&'static str),
}

/// Where a call looks for what its conversation keeps, and where it leaves it for those that follow.
#[derive(Debug, Default)]
struct Places {
    /// The first that has something counts.
    from: Vec<[u8; 16]>,
    to: Vec<[u8; 16]>,
    /// Whether it goes on from a call that must be known.
    goes_on: bool,
}

impl Replayer {
    pub(crate) fn new(config: &Config) -> Self {
        let names = config.0.iter().map(|(name, router)| (name.clone(), router.clone())).collect();
        Self { names, texts: Vec::new(), kept: Kept::default() }
    }

    fn text(&mut self, text: &str) -> u32 {
        let place = self.texts.iter().position(|known| **known == *text).unwrap_or_else(|| {
            self.texts.push(text.into());
            self.texts.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// The model by the rules alone.
    fn decide(&mut self, name: usize, call: &PastCall<'_>) -> Past {
        let (_, router) = &self.names[name];
        let subject = Subject {
            input_tokens: call.input_tokens,
            stream: call.stream,
            unix: Some(call.unix),
            caller: Some(CallerNames { tenant: call.tenant, key: call.key }),
            ..Subject::default()
        };
        let choice = router.choose(&subject);
        if let Some(lacking) = choice.doubt {
            return Past::Unknown(lacking.as_str());
        }
        let (model, rule) = (choice.model.to_owned(), router.rule_name(choice.rule));
        Past::Chosen { model: self.text(&model), rule: self.text(&rule) }
    }

    /// What a conversation keeps behind a call that had this model: another one, where what happened to it asks for that. Where it may
    /// ask for that, it is not known.
    fn behind(&mut self, name: usize, call: &PastCall<'_>, past: Past) -> Past {
        let Past::Chosen { model, .. } = past else { return past };
        let model = self.texts[model as usize].clone();
        let (known, possible) = (trouble::of_past(call), trouble::possible_of_past(call));
        let Some(trouble) = possible else { return past };
        let Some(to) = escalation(&self.names[name].1.escalate, trouble, &model) else { return past };
        match (call.is_served)(&model) {
            // of another model it is not known what it would have done
            Some(false) => past,
            Some(true) if known.is_some() => {
                let (to, rule) = (to.to_owned(), trouble.rule());
                Past::Chosen { model: self.text(&to), rule: self.text(&rule) }
            }
            _ => Past::Unknown(EARLIER_ERROR),
        }
    }

    fn shown(&self, name: usize, past: Past, pinned: bool) -> Replayed {
        match past {
            Past::Unknown(lacking) => Replayed::Unknown(lacking),
            Past::Chosen { model, rule } => Replayed::Chosen {
                model: self.texts[model as usize].clone(),
                rule: format!("{}/{}", header_text(&self.names[name].0), self.texts[rule as usize]).into(),
                pinned,
            },
        }
    }
}

impl Replay for Replayer {
    fn choose(&mut self, call: &PastCall<'_>) -> Replayed {
        let Some(name) = self.names.iter().position(|(name, _)| name.eq_ignore_ascii_case(call.asked)) else {
            return Replayed::Unrouted;
        };
        let places = Places::of(name, self.names[name].1.pin, call);
        let router = &self.names[name].1;
        let serves = |past: &Past, texts: &[Arc<str>]| match past {
            Past::Chosen { model, .. } => router.models().any(|known| *known == *texts[*model as usize]),
            Past::Unknown(_) => true,
        };
        let kept = places.from.iter().find_map(|place| self.kept.get(place)).filter(|past| serves(past, &self.texts));
        let past = match kept {
            Some(kept) => kept,
            None if places.goes_on => Past::Unknown(BEGINNING),
            None => self.decide(name, call),
        };
        let next = self.behind(name, call, past);
        places.to.into_iter().for_each(|place| self.kept.put(place, next));
        self.shown(name, past, kept.is_some())
    }
}

impl Places {
    fn of(name: usize, pin: Pin, call: &PastCall<'_>) -> Self {
        let place = |kind: &str, bytes: &[u8]| hash(name, call, kind, bytes);
        let session = call.session.filter(|_| pin == Pin::Session);
        if pin == Pin::Request {
            return Self::default();
        }
        if let Some(session) = session {
            let place = place("session", session.as_bytes());
            return Self { from: vec![place], to: vec![place], goes_on: false };
        }
        let turn = |turn: &[u8; 16]| place("turn", turn);
        // where the client names its session, the ledger takes all of that for one conversation
        let conversation = call.conversation.filter(|_| call.session.is_none());
        let conversation = conversation.map(|id| place("conversation", id.as_bytes()));
        let (own, previous) = (call.turn.as_ref().map(turn), call.previous_turn.as_ref().map(turn));
        Self {
            // a call that is sent again, or anew from an earlier turn, goes on from what came last
            from: conversation.into_iter().chain(own).chain(previous).collect(),
            to: own.into_iter().chain(conversation).collect(),
            goes_on: previous.is_some(),
        }
    }
}

/// What tells a conversation of a caller apart.
fn hash(name: usize, call: &PastCall<'_>, kind: &str, bytes: &[u8]) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(&(name as u64).to_le_bytes());
    let texts = [Some(kind), call.tenant, call.key, call.session];
    for text in texts.map(|text| text.map(str::as_bytes)).into_iter().chain([Some(bytes)]) {
        // one text is not taken for a part of another
        hash.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hash.update(text.unwrap_or_default());
    }
    let mut short = [0; 16];
    hash.finalize_xof().fill(&mut short);
    short
}

impl Kept {
    fn get(&mut self, place: &[u8; 16]) -> Option<Past> {
        if let Some(past) = self.young.get(place) {
            return Some(*past);
        }
        let past = *self.old.get(place)?;
        self.put(*place, past);
        Some(past)
    }

    fn put(&mut self, place: [u8; 16], past: Past) {
        if self.young.len() >= FEWEST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, past);
    }
}

#[cfg(test)]
mod tests;
