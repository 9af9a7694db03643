//! The place of a call in the conversations of its caller: hashes by which the calls of one conversation find each other, and those
//! of different callers and sessions never do. Asks nobody.
//!
//! A caller is its host, tenant, key, session and user. Their hash, the scope, is a part of each hash of a turn, so equal turns of two
//! callers have different hashes, here and in the database. A session that names itself is a conversation, whose id follows from the
//! scope: every gateway gives it the same one.

use plugin_api::{ConversationHash, Earlier, Endpoint, Outcome, Principal, Record};
use uuid::{Builder, Uuid};

use super::caller::{Aside, Caller};
use crate::Row;
use crate::encoding::fields::fields;

/// What calls find each other by. The journal has it beside the row, and the database only the hashes of the turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Of the caller.
    pub(crate) scope: [u8; 16],
    /// Of the call's messages, whatever their answer.
    pub(crate) messages: [u8; 16],
    /// The turn that it goes on from, if the words of that turn's answer are not known.
    pub(crate) previous_without_words: Option<[u8; 32]>,
    /// Of the messages that begin with a task which the answer gives to a subagent.
    pub(crate) tasks: Vec<[u8; 16]>,
    /// Whether it is asked beside the conversation of its session.
    pub(crate) aside: Aside,
}

fields! { Place { 1 = scope; 2 = messages; 3 = previous_without_words; 4 = tasks; 5 = aside; } }

/// The parts of a caller are seldom longer, in bytes.
const USUAL: usize = 256;

/// A hash of a caller.
#[derive(Clone, Copy)]
struct Scope([u8; 32]);

impl Scope {
    fn of(row: &Row, caller: &Caller) -> Self {
        // so short a text is hashed at once: a hasher is made for long ones
        let mut parts = Vec::with_capacity(USUAL);
        let mut part = |tag: u8, text: Option<&str>| {
            if let Some(text) = text {
                parts.push(tag);
                parts.extend_from_slice(&(text.len() as u64).to_le_bytes());
                parts.extend_from_slice(text.as_bytes());
            }
        };
        part(b'h', Some(&row.domain));
        part(b't', row.tenant.as_deref());
        part(b's', row.session_id.as_deref());
        part(b'u', row.user_id.as_deref());
        let is_named = row.session_id.is_some() || row.user_id.is_some();
        match &row.key_name {
            // a key may be rotated
            Some(name) => part(b'n', Some(name)),
            // a token that is renewed is another one every few hours
            None if caller.is_renewed && is_named => part(b'r', Some("")),
            None => part(b'k', row.api_key_hash.as_deref()),
        }
        Self(*blake3::hash(&parts).as_bytes())
    }

    /// A hash within the scope. It is random, as all that is joined in it.
    fn join(self, hash: [u8; 32]) -> [u8; 32] {
        xor(self.0, hash)
    }

    /// The conversation of the session, or that of an agent in it.
    fn conversation(self, agent: Option<&str>) -> Uuid {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.0);
        hash.update(agent.unwrap_or_default().as_bytes());
        Builder::from_custom_bytes(half(*hash.finalize().as_bytes())).into_uuid()
    }
}

/// Gives a row its place, where its call has one.
pub(crate) fn put(row: &mut Row, record: &Record, caller: &Caller) {
    let Some(ConversationHash { messages, earlier }) = record.conversation else { return };
    let scope = Scope::of(row, caller);
    let answer = record.answer.as_ref().or(record.saved.as_ref());
    // a client that left may have got fewer of them
    let is_whole = matches!(record.outcome, Outcome::Completed | Outcome::Cached);
    let words = answer.and_then(|answer| answer.words).filter(|_| is_whole).unwrap_or_default();
    row.turn_hash = Some(scope.join(xor(messages, words)));
    let mut place =
        Place { scope: half(scope.0), messages: half(scope.join(messages)), aside: caller.aside, ..Place::default() };
    match earlier {
        Some(Earlier::Turn { messages, words }) => {
            row.previous_turn_hash = Some(scope.join(xor(messages, words.unwrap_or_default())));
            place.previous_without_words = words.map(|_| scope.join(messages));
        }
        Some(Earlier::Answer(answer)) => row.previous_turn_hash = Some(scope.join(answer)),
        None => {}
    }
    if let Some(answer) = answer {
        place.tasks = answer.tasks.iter().map(|task| half(scope.join(*task))).collect();
    }
    if names_itself(record.context.principal()) {
        row.conversation_id = Some(scope.conversation(caller.agent()));
        row.parent_conversation_id = caller.agent().map(|_| scope.conversation(caller.parent_agent()));
    }
    row.place = Some(Box::new(place));
}

/// Whether the session is one, rather than a name that several may share.
fn names_itself(principal: &Principal) -> bool {
    principal.session.is_some() && !principal.session_is_shared
}

impl Place {
    /// The name of the answer to a call of this caller, where calls can go on from it.
    pub(crate) fn answer(&self, row: &Row) -> Option<[u8; 16]> {
        let id = row.answer_id.as_deref().filter(|_| row.endpoint.as_deref() == Some(Endpoint::RESPONSES.as_str()))?;
        let hash = half(ConversationHash::of_answer(id));
        Some(std::array::from_fn(|at| self.scope[at] ^ hash[at]))
    }
}

fn xor(mut one: [u8; 32], other: [u8; 32]) -> [u8; 32] {
    one.iter_mut().zip(&other).for_each(|(byte, other)| *byte ^= other);
    one
}

/// As much of a hash as tells it apart in memory.
pub(crate) fn half(hash: [u8; 32]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}
