//! What a call counts for limits once it is over, so that the limits and the ledger's row say the same. Counts nothing itself.

use std::fmt;

use prices::Cost;
use serde::{Deserialize, Serialize};

use crate::{AnswerState, Outcome, Record, Tokens, Usage};

/// How the limits that a call is held to count it. The plugin that limits it puts this into the call's context; whoever records the
/// call asks it for the same figures.
pub trait CallMeter: fmt::Debug + Send + Sync {
    /// The tokens that the call counts, by the weights of its limits; `None` where it counts nothing, not even a request.
    fn used(&self, record: &Record) -> Option<u64>;

    /// What the call adds to counts of days and months, once it counts `now` where it counted `before`. Empty where that is the same.
    fn changes(&self, before: Option<u64>, now: Option<u64>) -> Vec<WindowCount>;
}

/// A change of the count that a limit keeps for one caller in a day or a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowCount {
    /// The limit, by a digest.
    pub limit: [u8; 16],
    /// The caller, by a digest.
    pub subject: [u8; 16],
    /// The first second behind the day or month, since 1970, UTC.
    pub until: i64,
    /// How much more is counted; negative where a correction lowers it.
    pub amount: i64,
}

/// What budgets count for a call that had a price when it was let through, where the ledger does not know all of its cost once it is
/// over, in picodollars. The plugin that holds the call to budgets puts it into the call's context; the ledger keeps with the row what it
/// comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssumedCost {
    /// For an answer that does not say what it used, or whose model has no price; `None` where budgets count such answers otherwise.
    pub answered: Option<i64>,
    /// The least for a call that was cut off before anything was reported.
    pub cut_off: i64,
    /// What its input costs of that, to which comes what was sent of an answer.
    pub input: i64,
    /// The most tokens of output that the call asks for.
    pub most_output: u64,
}

impl AssumedCost {
    /// What budgets count for the call in the place of `known`, its reported cost. `cost` prices a usage. `None` where `known` is all of
    /// it, and where the call cost nothing.
    #[must_use]
    pub fn of(&self, record: &Record, known: Option<Cost>, cost: impl Fn(&Usage) -> Option<Cost>) -> Option<Cost> {
        if record.attempts == 0 || record.outcome == Outcome::Cached {
            return None;
        }
        let picos = |picos: i64| Cost::from_picos(picos.into());
        let answered = self.answered.map(picos);
        let answer = record.answer.as_ref();
        let is_whole = answer.is_some_and(|answer| answer.state == AnswerState::Complete);
        match answer.and_then(|answer| answer.usage.as_ref()) {
            Some(_) if known.is_none() => answered,
            // the first figures of a stream are those of its input, with next to no output
            Some(usage) if is_cut_off(record) && !is_whole => {
                let output = usage.tokens.output.unwrap_or(0).max(self.came(record));
                let tokens = Tokens { output: Some(output), ..usage.tokens };
                cost(&Usage { tokens, ..usage.clone() }).filter(|assumed| Some(*assumed) > known)
            }
            Some(_) => None,
            None if is_cut_off(record) => {
                let tokens = Tokens { output: Some(self.came(record)), ..Tokens::default() };
                let came = cost(&Usage { tokens, ..Usage::default() }).unwrap_or(Cost::ZERO);
                Some(picos(self.cut_off).max(picos(self.input) + came))
            }
            None if record.outcome == Outcome::Completed && record.is_success() => answered,
            None => None,
        }
    }

    /// The tokens of output that the client got, by the bytes.
    fn came(&self, record: &Record) -> u64 {
        record.output_by_bytes().min(self.most_output)
    }
}

/// Whether the call ended before its answer did, and may have cost something.
fn is_cut_off(record: &Record) -> bool {
    match record.outcome {
        Outcome::ClientGone | Outcome::Aborted => true,
        // the client got some of an answer
        Outcome::UpstreamFailed | Outcome::Refused => record.is_success() && record.response_bytes > 0,
        Outcome::Completed | Outcome::Cached => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::StatusCode;
    use uuid::Uuid;

    use super::*;
    use crate::{Answer, Endpoint};

    #[test]
    fn a_call_of_unknown_cost_counts_what_was_reserved_unless_nothing_came_of_it() {
        use Outcome::{Aborted, Cached, ClientGone, Completed, Refused, UpstreamFailed};
        let record = |outcome, status: u16, bytes| Record {
            outcome,
            attempts: 1,
            endpoint: Some(Endpoint::MESSAGES),
            status: StatusCode::from_u16(status).ok(),
            streaming: Some(true),
            response_bytes: bytes,
            ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH)
        };
        let assumed = AssumedCost { answered: Some(50), cut_off: 7, input: 7, most_output: 100 };
        for (what, record, picos) in [
            ("an answer without figures", record(Completed, 200, 10), Some(50)),
            ("an error", record(Completed, 529, 10), None),
            ("a client that leaves before the head", record(ClientGone, 0, 0), Some(7)),
            ("a stop in the middle", record(Aborted, 200, 10), Some(7)),
            ("a server that breaks off", record(UpstreamFailed, 200, 10), Some(7)),
            ("a server that never answered", record(UpstreamFailed, 502, 10), None),
            ("an answer that a plugin cuts", record(Refused, 200, 10), Some(7)),
            ("a cached answer", record(Cached, 200, 10), None),
            ("a call that was never sent", Record { attempts: 0, ..record(ClientGone, 0, 0) }, None),
            (
                "a session that breaks off",
                Record { endpoint: Some(Endpoint::REALTIME), ..record(ClientGone, 200, 0) },
                Some(7),
            ),
            (
                "vectors that nobody waits for",
                Record { endpoint: Some(Endpoint::EMBEDDINGS), ..record(ClientGone, 0, 0) },
                Some(7),
            ),
        ] {
            assert_eq!(assumed.of(&record, None, tokens), picos.map(cost), "{what}");
        }
        let answer = Some(Answer { usage: Some(Usage::default()), ..Answer::default() }.into());
        let unpriced = Record { answer, ..record(ClientGone, 200, 10) };
        assert_eq!(assumed.of(&unpriced, None, tokens), Some(cost(50)), "figures without a price");
        assert_eq!(AssumedCost { answered: None, ..assumed }.of(&unpriced, None, tokens), None);
    }

    #[test]
    fn what_came_of_an_answer_that_was_cut_off_counts_by_its_bytes_within_what_was_asked_for() {
        let assumed = AssumedCost { answered: Some(50), cut_off: 30, input: 7, most_output: 100 };
        let usage =
            |output| Usage { tokens: Tokens { input: Some(20), output, ..Tokens::default() }, ..Usage::default() };
        let record = |state, usage, bytes| Record {
            outcome: Outcome::ClientGone,
            attempts: 1,
            status: Some(StatusCode::OK),
            streaming: Some(true),
            response_bytes: bytes,
            answer: Some(Answer { state, usage, ..Answer::default() }.into()),
            ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH)
        };
        use AnswerState::{Complete, Partial};
        for (what, record, known, picos) in [
            ("ninety tokens of a stream", record(Partial, Some(usage(Some(1))), 64 * 90), Some(21), Some(110)),
            ("more bytes than tokens can be", record(Partial, Some(usage(Some(1))), 64 * 9000), Some(21), Some(120)),
            ("more than was asked for, as it says", record(Partial, Some(usage(Some(200))), 64), Some(220), None),
            ("the whole answer", record(Complete, Some(usage(Some(1))), 64 * 90), Some(21), None),
            ("a stream without figures", record(Partial, None, 64 * 90), None, Some(97)),
            ("little of it", record(Partial, None, 64), None, Some(30)),
        ] {
            assert_eq!(assumed.of(&record, known.map(cost), tokens), picos.map(cost), "{what}");
        }
    }

    fn cost(picos: i64) -> Cost {
        Cost::from_picos(picos.into())
    }

    /// A picodollar for each token.
    #[expect(clippy::unnecessary_wraps, reason = "it stands for a price that may not be known")]
    fn tokens(usage: &Usage) -> Option<Cost> {
        let all = usage.tokens.input.unwrap_or(0) + usage.tokens.output.unwrap_or(0);
        Some(Cost::from_picos(all.into()))
    }
}
