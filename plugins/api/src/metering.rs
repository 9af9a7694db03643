//! What a call counts for limits once it is over, so that the limits and the ledger's row say the same. Counts nothing itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Outcome, Record};

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

/// The endpoints whose answers cost something, whether or not they report usage.
pub const GENERATING: [&str; 4] = ["messages", "chat_completions", "completions", "responses"];

/// What budgets count for a call whose cost the ledger does not know once it is over, in picodollars. The plugin that holds the call to
/// budgets puts it into the call's context; the ledger keeps with the row what it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssumedCost {
    /// For an answer that does not say what it used, or whose model has no price; `None` where budgets count such answers otherwise.
    pub answered: Option<i64>,
    /// For a call that was cut off before anything was reported.
    pub cut_off: i64,
}

impl AssumedCost {
    /// What it comes to for a call whose cost is not known; `None` where the call cost nothing.
    #[must_use]
    pub fn of(&self, record: &Record) -> Option<i64> {
        let is_reported = record.answer.as_ref().is_some_and(|answer| answer.usage.is_some());
        let is_success = record.status.is_some_and(|status| status.is_success());
        if record.attempts == 0 || record.outcome == Outcome::Cached {
            return None;
        }
        if is_reported {
            return self.answered;
        }
        if !record.endpoint.is_some_and(|endpoint| GENERATING.contains(&endpoint.as_str())) {
            return None;
        }
        match record.outcome {
            Outcome::Completed => self.answered.filter(|_| is_success),
            Outcome::ClientGone | Outcome::Aborted => Some(self.cut_off),
            // the client got some of an answer
            Outcome::UpstreamFailed | Outcome::Refused => {
                (is_success && record.response_bytes > 0).then_some(self.cut_off)
            }
            Outcome::Cached => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::StatusCode;
    use uuid::Uuid;

    use super::*;
    use crate::{Answer, Endpoint, Usage};

    #[test]
    fn a_call_of_unknown_cost_counts_what_was_reserved_unless_nothing_came_of_it() {
        use Outcome::{Aborted, Cached, ClientGone, Completed, Refused, UpstreamFailed};
        let record = |outcome, status: u16, bytes| Record {
            outcome,
            attempts: 1,
            endpoint: Some(Endpoint::MESSAGES),
            status: StatusCode::from_u16(status).ok(),
            response_bytes: bytes,
            ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH)
        };
        let assumed = AssumedCost { answered: Some(50), cut_off: 7 };
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
                "a batch, which its results tell of",
                Record { endpoint: Some(Endpoint::MESSAGE_BATCHES), ..record(Completed, 200, 10) },
                None,
            ),
        ] {
            assert_eq!(assumed.of(&record), picos, "{what}");
        }
        let answer = Some(Answer { usage: Some(Usage::default()), ..Answer::default() });
        let unpriced = Record { answer, ..record(ClientGone, 200, 10) };
        assert_eq!(assumed.of(&unpriced), Some(50), "figures without a price");
        assert_eq!(AssumedCost { answered: None, ..assumed }.of(&unpriced), None);
    }
}
