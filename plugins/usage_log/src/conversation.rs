//! Which conversation a call is a turn of. Knows the turns of late by itself, and asks the database for older ones and for those
//! of other gateways.
//!
//! A call sends the whole conversation so far: the messages of an earlier call, the answer to that, and a new message. So
//! the hash of all but its last two messages is the hash of all messages of the earlier call, which is in its row. The
//! conversation is named after the `id` of its first request, so that a row that is shipped twice says the same twice.
//!
//! A call of OpenAI's Responses may send what is new alone, and name the answer that it goes on from. So the turns of late are known by
//! their answers, too. The database has no index of them: where an answer is not known here, it knows none either.
//!
//! Turns are found only among those of the same host and API key. Of several conversations that begin alike, the latest is meant.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use uuid::Uuid;

use plugin_api::{ConversationHash, Endpoint};

use crate::{Record, Row, Turn};

/// As many turns are known at least, and at most twice as many; each takes some 50 bytes. One that is known by its answer, too, is two.
const TURNS: usize = 50_000;

type Key = [u8; 16];

/// The turns of late.
#[derive(Debug)]
pub(crate) struct Conversations {
    most: usize,
    young: HashMap<Key, Uuid>,
    old: HashMap<Key, Uuid>,
    /// What hosts and API keys are hashed with, new in every process.
    scopes: [RandomState; 2],
}

impl Default for Conversations {
    fn default() -> Self {
        Self::of_turns(TURNS)
    }
}

impl Conversations {
    fn of_turns(most: usize) -> Self {
        Self { most, young: HashMap::new(), old: HashMap::new(), scopes: Default::default() }
    }

    /// The earlier turns that these records go on from, as far as they are not known.
    pub(crate) fn unknown(&self, records: &[Record]) -> Vec<Turn> {
        let mut known = HashSet::new();
        let mut turns = Vec::new();
        for row in rows(records) {
            let scope = self.scope(&row.domain, row.api_key_hash.as_deref());
            if let Some(hash) = row.previous_turn_hash {
                let key = key(scope, hash);
                if self.find(key).is_none() && known.insert(key) {
                    turns.push(Turn { domain: row.domain.clone(), api_key_hash: row.api_key_hash.clone(), hash });
                }
            }
            known.extend(names(row).into_iter().flatten().map(|hash| key(scope, hash)));
        }
        turns
    }

    /// What the database says of such turns, in their order.
    pub(crate) fn learn(&mut self, turns: &[Turn], conversations: &[Option<Uuid>]) {
        for (turn, conversation) in turns.iter().zip(conversations) {
            if let Some(conversation) = conversation {
                let scope = self.scope(&turn.domain, turn.api_key_hash.as_deref());
                self.note(key(scope, turn.hash), *conversation);
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
            let scope = self.scope(&row.domain, row.api_key_hash.as_deref());
            let earlier = row.previous_turn_hash.and_then(|hash| self.find(key(scope, hash)));
            let conversation = earlier.unwrap_or(row.id);
            row.conversation_id = Some(conversation);
            for hash in names.into_iter().flatten() {
                self.note(key(scope, hash), conversation);
            }
        }
    }

    /// What distinguishes a host and an API key from others. It is secret, so that no caller can name a turn of another's.
    fn scope(&self, domain: &str, api_key_hash: Option<&str>) -> Key {
        let mut scope = Key::default();
        for (half, state) in scope.chunks_exact_mut(8).zip(&self.scopes) {
            half.copy_from_slice(&state.hash_one((domain, api_key_hash)).to_le_bytes());
        }
        scope
    }

    fn find(&self, key: Key) -> Option<Uuid> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn note(&mut self, key: Key, conversation: Uuid) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, conversation);
    }
}

fn rows(records: &[Record]) -> impl Iterator<Item = &Row> {
    records.iter().filter_map(|record| match record {
        Record::Request(row) => Some(&**row),
        Record::Batch(_) => None,
    })
}

/// The hashes by which later calls find this one: of its messages, and of its answer where calls can name that.
fn names(row: &Row) -> [Option<[u8; 32]>; 2] {
    let answer = row.answer_id.as_deref().filter(|_| row.endpoint.as_deref() == Some(Endpoint::RESPONSES.as_str()));
    [row.turn_hash, answer.map(ConversationHash::of_answer)]
}

/// A turn within its host and API key: its hash, which is random already, joined with what is secret of these.
fn key(scope: Key, hash: [u8; 32]) -> Key {
    let mut key = scope;
    for (byte, hash) in key.iter_mut().zip(hash) {
        *byte ^= hash;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(id: u128, key: &str, previous: Option<u8>, turn: u8) -> Record {
        Record::Request(Box::new(Row {
            id: Uuid::from_u128(id),
            domain: "a.example".into(),
            api_key_hash: Some(key.into()),
            turn_hash: Some([turn; 32]),
            previous_turn_hash: previous.map(|hash| [hash; 32]),
            ..Row::default()
        }))
    }

    fn link(conversations: &mut Conversations, mut records: Vec<Record>) -> Vec<u128> {
        conversations.link(&mut records);
        rows(&records).map(|row| row.conversation_id.unwrap().as_u128()).collect()
    }

    #[test]
    fn turns_that_go_on_from_each_other_are_one_conversation() {
        let mut known = Conversations::default();
        let records =
            vec![turn(1, "k", None, 1), turn(2, "k", Some(1), 2), turn(3, "k", Some(2), 3), turn(4, "k", None, 9)];
        assert!(known.unknown(&records).is_empty());
        assert_eq!(link(&mut known, records), [1, 1, 1, 4]);
        assert_eq!(link(&mut known, vec![turn(5, "k", Some(9), 10), turn(6, "k", Some(3), 4)]), [4, 1]);
    }

    #[test]
    fn a_call_that_names_an_answer_goes_on_from_the_call_that_had_it() {
        let responses = |id, previous: Option<&str>, turn: Option<u8>, answer: &str| {
            Record::Request(Box::new(Row {
                id: Uuid::from_u128(id),
                endpoint: Some("responses".into()),
                turn_hash: turn.map(|turn| [turn; 32]),
                previous_turn_hash: previous.map(ConversationHash::of_answer),
                answer_id: Some(answer.into()),
                ..Row::default()
            }))
        };
        let mut known = Conversations::default();
        // one whose input is no list of messages has an answer like others
        let records = vec![
            responses(1, None, Some(1), "a"),
            responses(2, Some("a"), Some(2), "b"),
            responses(3, Some("b"), Some(3), "c"),
            responses(4, None, None, "d"),
            responses(5, Some("d"), Some(2), "e"),
            responses(6, Some("unknown"), Some(9), "f"),
        ];
        assert_eq!(known.unknown(&records).len(), 1);
        assert_eq!(link(&mut known, records), [1, 1, 1, 4, 4, 6]);
        assert_eq!(link(&mut known, vec![responses(7, Some("c"), Some(7), "g")]), [1]);
        // an answer is found among those of the same kind alone
        let Record::Request(mut row) = responses(8, Some("h"), None, "i") else { unreachable!() };
        row.endpoint = Some("messages".into());
        assert_eq!(known.unknown(&[Record::Request(row)]).len(), 1);
    }

    #[test]
    fn nobody_goes_on_from_another_keys_turn() {
        let mut known = Conversations::default();
        assert_eq!(link(&mut known, vec![turn(1, "k", None, 1), turn(2, "other", Some(1), 2)]), [1, 2]);
    }

    #[test]
    fn older_turns_are_asked_for_once_and_then_known() {
        let mut known = Conversations::default();
        let records = || vec![turn(8, "k", Some(1), 2), turn(9, "k", Some(1), 3)];
        let asked = known.unknown(&records());
        assert_eq!(asked.len(), 1);
        known.learn(&asked, &[Some(Uuid::from_u128(7))]);
        assert!(known.unknown(&records()).is_empty());
        assert_eq!(link(&mut known, records()), [7, 7]);
        // what is shipped twice says the same twice
        assert_eq!(link(&mut known, records()), [7, 7]);
    }

    #[test]
    fn memory_is_bounded_and_the_latest_turns_stay() {
        let mut known = Conversations::of_turns(10);
        for id in 0..200 {
            link(&mut known, vec![turn(id.into(), "k", None, id)]);
            assert!(known.young.len() + known.old.len() <= 20);
        }
        assert_eq!(link(&mut known, vec![turn(1000, "k", Some(195), 201)]), [195]);
    }
}
