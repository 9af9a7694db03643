//! Which conversation a call is a turn of. Knows the turns of late by itself, and asks the database for older ones and for those
//! of other gateways.
//!
//! A session that names itself is one conversation, and each of its subagents another. Elsewhere a call is found by what it sends: the
//! messages of an earlier call, what the model said to those, and what is new. The hash of the first two is in the row of the earlier
//! call. Such a conversation is named after the `id` of its first request, so that a row that is shipped twice says the same twice.
//!
//! A call of OpenAI's Responses may send what is new alone, and name the answer that it goes on from. So the turns of late are known by
//! their answers, too. The database has no index of them: where an answer is not known here, it knows none either.
//!
//! All hashes are those of one [caller](place): nobody goes on from another's turn.

pub(crate) mod caller;
pub(crate) mod place;
mod recent;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use ahash::RandomState;
use uuid::Uuid;

use crate::{Record, Row};
pub(crate) use caller::Caller;
use place::{Place, half};
use recent::{Key, Recent};

/// As many turns are known at least, and at most twice as many; each takes some 50 bytes. One that is known by its answer, too, is two.
const TURNS: usize = 50_000;
/// The same of subagents, of tasks, of sessions, and of calls without an answer.
const OTHERS: usize = 5_000;
/// How long a task waits for its subagent, in microseconds.
const TASK: i64 = 24 * 60 * 60 * 1_000_000;
/// How long a call that begins a conversation and has no answer is tried again.
const RETRY: i64 = 10 * 60 * 1_000_000;

/// A conversation as the database knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its id.
    pub id: Uuid,
    /// The one that it is a subagent's of.
    pub parent: Option<Uuid>,
}

/// A call that begins a conversation, and has no answer yet.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    conversation: Uuid,
    at: i64,
    /// The call that had the answer.
    answered_by: Option<Uuid>,
}

/// The conversations of late.
#[derive(Debug)]
pub(crate) struct Conversations {
    turns: Recent<Uuid>,
    /// The conversations that subagents were started in.
    parents: Recent<Uuid>,
    /// The tasks that conversations gave to subagents, and when.
    tasks: Recent<(Uuid, i64)>,
    /// The conversations of sessions that have begun.
    sessions: Recent<()>,
    unanswered: Recent<Unanswered>,
}

impl Default for Conversations {
    fn default() -> Self {
        Self {
            turns: Recent::new(TURNS),
            parents: Recent::new(OTHERS),
            tasks: Recent::new(OTHERS),
            sessions: Recent::new(OTHERS),
            unanswered: Recent::new(OTHERS),
        }
    }
}

impl Conversations {
    /// The earlier turns that these records go on from, as far as they are not known.
    pub(crate) fn unknown(&self, records: &[Record]) -> Vec<[u8; 32]> {
        let mut known: HashSet<Key, RandomState> = HashSet::default();
        let mut turns = Vec::new();
        for row in rows(records) {
            let is_known = |hash: [u8; 32]| self.turns.get(half(hash)).is_some() || known.contains(&half(hash));
            if !earlier(row).any(is_known) {
                turns.extend(earlier(row).filter(|hash| known.insert(half(*hash))));
            }
            known.extend(names(row).into_iter().flatten());
        }
        turns
    }

    /// What the database says of such turns, in their order.
    pub(crate) fn learn(&mut self, turns: &[[u8; 32]], conversations: &[Option<Conversation>]) {
        for (turn, conversation) in turns.iter().zip(conversations) {
            if let Some(Conversation { id, parent }) = conversation {
                self.turns.note(half(*turn), *id);
                if let Some(parent) = parent {
                    self.parents.note(*id.as_bytes(), *parent);
                }
            }
        }
    }

    /// Gives every turn its conversation.
    pub(crate) fn link(&mut self, records: &mut [Record]) {
        for record in records {
            let Record::Request(row) = record else { continue };
            let names = names(row);
            if names == [None, None] {
                continue;
            }
            let place = row.place.clone().unwrap_or_default();
            // the turn that is there, be it one without the words of its answer
            if let Some(hash) = earlier(row).find(|hash| self.turns.get(half(*hash)).is_some()) {
                row.previous_turn_hash = Some(hash);
            }
            let conversation = self.find(row, &place);
            if row.conversation_id == Some(conversation) {
                self.sessions.note(*conversation.as_bytes(), ());
            }
            row.conversation_id = Some(conversation);
            if row.parent_conversation_id.is_none() {
                row.parent_conversation_id = self.parents.get(*conversation.as_bytes());
            }
            for name in names.into_iter().flatten() {
                self.turns.note(name, conversation);
            }
            let at = row.created_at.micros();
            for task in &place.tasks {
                self.tasks.note(*task, (conversation, at));
            }
            if row.previous_turn_hash.is_none() && is_unanswered(row) {
                self.unanswered.note(place.messages, Unanswered { conversation, at, answered_by: None });
            }
        }
    }

    fn find(&mut self, row: &Row, place: &Place) -> Uuid {
        // that of its session, unless it turns out to be beside that
        let of_session = row.conversation_id;
        if row.parent_conversation_id.is_some() {
            return of_session.unwrap_or(row.id);
        }
        if let Some(known) = earlier(row).find_map(|hash| self.turns.get(half(hash))) {
            return known;
        }
        if row.previous_turn_hash.is_none() {
            if let Some(begun) = self.tried_before(row, place) {
                return begun;
            }
            if let Some((parent, _)) = self.tasks.get(place.messages).filter(|task| is_within(TASK, task.1, row)) {
                self.parents.note(*row.id.as_bytes(), parent);
                return row.id;
            }
            let has_begun = || of_session.is_some_and(|id| self.sessions.get(*id.as_bytes()).is_some());
            match place.aside {
                caller::Aside::No => {}
                caller::Aside::IfBegun if !has_begun() => {}
                caller::Aside::IfBegun | caller::Aside::Yes => return row.id,
            }
        }
        of_session.unwrap_or(row.id)
    }
}

impl Conversations {
    /// The conversation of the same call without an answer, which this one is another try of.
    fn tried_before(&mut self, row: &Row, place: &Place) -> Option<Uuid> {
        let known = self.unanswered.get(place.messages)?;
        if !is_within(RETRY, known.at, row) || known.answered_by.is_some_and(|id| id != row.id) {
            return None;
        }
        if !is_unanswered(row) {
            self.unanswered.note(place.messages, Unanswered { answered_by: Some(row.id), ..known });
        }
        Some(known.conversation)
    }
}

fn rows(records: &[Record]) -> impl Iterator<Item = &Row> {
    records.iter().filter_map(|record| match record {
        Record::Request(row) => Some(&**row),
        Record::Batch(_) => None,
    })
}

/// The hashes by which this call finds the one that it goes on from.
fn earlier(row: &Row) -> impl Iterator<Item = [u8; 32]> + use<> {
    let without_words = row.place.as_ref().and_then(|place| place.previous_without_words);
    row.previous_turn_hash.into_iter().chain(without_words)
}

/// The keys by which later calls find this one: of its messages, and of its answer where calls can name that.
fn names(row: &Row) -> [Option<Key>; 2] {
    [row.turn_hash.map(half), row.place.as_ref().and_then(|place| place.answer(row))]
}

/// Whether the call failed, so that it may be tried again.
fn is_unanswered(row: &Row) -> bool {
    !matches!(&*row.outcome, "completed" | "cached") || row.response_status.is_some_and(|status| status >= 400)
}

/// Whether a row is from after this time, by so many microseconds at most.
fn is_within(microseconds: i64, at: i64, row: &Row) -> bool {
    row.created_at.micros().saturating_sub(at) <= microseconds
}
