//! Which messages of a call are the model's, and so where the call ends that it goes on from. Looks at no more of them than needed.

use std::ops::Range;

use crate::words::{Words, is_of_model};

/// Where the turns of a call end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// How many messages are the call's own: all but those of the model at the end, which an answer goes on with.
    pub(super) own: usize,
    /// The last messages of the model that an earlier call had as its answer. Those before them were that call's own.
    pub(super) answer: Option<Range<usize>>,
}

impl Turns {
    pub(super) fn of(messages: &[&[u8]]) -> Self {
        let count = messages.len();
        let is_of_model = |at: usize| is_of_model(messages[at]);
        // the last messages of the model before this place; none where they have none before them
        let last = |before: usize| {
            let end = (1..before).rev().find(|at| is_of_model(*at))? + 1;
            let start = (0..end).rev().find(|at| !is_of_model(*at))? + 1;
            Some(start..end)
        };
        let Some(answer) = last(count) else { return Self { own: count, answer: None } };
        if answer.end < count {
            return Self { own: count, answer: Some(answer) };
        }
        // a call that goes on with what the model said, of a beginning that it was given, or of an answer that paused
        let own = answer.start;
        Self { own, answer: last(own).or(Some(answer)) }
    }

    /// The hash of what the model said.
    pub(super) fn words(&self, messages: &[&[u8]]) -> Option<[u8; 32]> {
        let mut words = Words::default();
        for message in &messages[self.answer.clone()?] {
            words.message(std::str::from_utf8(message).ok()?);
        }
        words.hash()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns of messages of a user (`u`) and the model (`a`).
    fn turns(speakers: &str) -> (usize, Option<Range<usize>>) {
        let message = |speaker: char| match speaker {
            'a' => br#"{"role":"assistant","content":"a"}"#.as_slice(),
            _ => br#"{"role":"user","content":"u"}"#.as_slice(),
        };
        let messages: Vec<_> = speakers.chars().map(message).collect();
        let Turns { own, answer } = Turns::of(&messages);
        (own, answer)
    }

    #[test]
    fn a_call_goes_on_from_the_last_answer_before_its_own_last_messages() {
        for (speakers, own, answer) in [
            ("", 0, None),
            ("u", 1, None),
            ("uu", 2, None),
            ("uau", 3, Some(1..2)),
            ("uuaauu", 6, Some(2..4)),
            ("uauau", 5, Some(3..4)),
            // the model goes on
            ("ua", 1, Some(1..2)),
            ("uaua", 3, Some(1..2)),
            // with no call before it
            ("a", 1, None),
            ("au", 2, None),
            ("aua", 2, Some(2..3)),
        ] {
            assert_eq!(turns(speakers), (own, answer), "{speakers}");
        }
    }
}
