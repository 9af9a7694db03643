//! Format 1, in which the first releases hashed messages, by which a conversation finds the turns in their rows: a hash of each
//! message and of the hash before it. It takes several times as long as the format of today, so it is made only where it may be needed.

use std::sync::atomic::{AtomicU64, Ordering};

use json_tape::{Feed, Tape};

use super::canonical::{self, DEEPEST, Strings, Unread};

/// The hash of a list of messages; `None` where one has more values than are read.
pub(super) fn hash(messages: &[&[u8]]) -> Option<[u8; 32]> {
    let (mut tape, mut hash, mut list) = (Tape::default(), Feed::default(), [0; 32]);
    for message in messages {
        hash.push(&list);
        let read = tape.read(message, DEEPEST).map_err(Unread::from);
        match read.and_then(|text| canonical::write((text, text.root()), Strings::Decoded, &mut hash, None)) {
            Ok(()) => {}
            Err(Unread::AsWritten) => {
                hash.forget();
                hash.push(&list);
                hash.push(message);
            }
            Err(Unread::TooMany) => return None,
        }
        list = hash.finish();
    }
    Some(list)
}

/// The turns of late, each as a part of its hash. Some are forgotten early, where their places are taken by others.
pub(super) struct HashedTurns([AtomicU64; Self::PLACES]);

impl HashedTurns {
    /// 4 MiB: at a thousand turns a second a turn is known for minutes.
    const PLACES: usize = 1 << 19;

    pub(super) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Self::PLACES])
    }

    /// Notes a turn, and says whether it is new.
    pub(super) fn note(&self, turn: [u8; 32]) -> bool {
        let part = turn.first_chunk().map_or(0, |part| u64::from_le_bytes(*part));
        let place = &self.0[part as usize % Self::PLACES];
        place.swap(part, Ordering::Relaxed) != part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_first_releases_know_a_message_by_the_same_hash() {
        let hex = |messages: &[&str]| {
            let messages: Vec<_> = messages.iter().map(|message| message.as_bytes()).collect();
            let hash = hash(&messages).unwrap();
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let hello = r#"{"role":"user","content":"hello"}"#;
        let tool_use = r#"{"role":"assistant","content":[{"type":"text","text":"hi\n"},{"type":"tool_use","id":"t","name":"f",
                "input":{"b":[1,-2,0.5,true,null],"a":"\u00e9"}}]}"#;
        for (messages, hash) in [
            (&[hello][..], "50095cea2076faa9ddff481e5ccaa3a6b021cd8c1f88103ca1653dbfb67b70f5"),
            (&[tool_use], "4f02c8cc82ad65706d7e0a7611dc7675af528a1931cab0c89a0d041f01c01cd6"),
            (
                &[r#"{"role":"user","content":"\ud800"}"#],
                "b7fc67c4b3e990d2d4dc6f74373003d22b9e10fced0906b886719bf93b3c0c54",
            ),
            (&[hello, tool_use], "a718238e96da73eab8c6a57b4c218fa70f6cdbd58366bd8a89e8baf5feb512a2"),
        ] {
            assert_eq!(hex(messages), hash, "{messages:?}");
        }
    }

    #[test]
    fn a_turn_is_new_once_until_another_takes_its_place() {
        let turns = Box::new(HashedTurns::new());
        let turn = |byte: u8| [byte; 32];
        assert!(turns.note(turn(1)) && turns.note(turn(2)));
        assert!(!turns.note(turn(1)) && !turns.note(turn(2)));
    }
}
