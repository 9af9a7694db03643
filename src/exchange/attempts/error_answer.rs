//! The answer to the client of a failed exchange, by its failure and by the responses that were discarded before.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use plugin_api::ErrorKind;
use tokio::time::Instant;

use crate::exchange::failure::Failure;

use super::Attempts;

/// A response that was discarded for another attempt.
#[derive(Clone, Debug)]
pub(super) struct DiscardedResponse {
    pub status: StatusCode,
    pub retry_after: Option<HeaderValue>,
}

/// The answer to a client whose exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The status, which may be that of a response that was discarded.
    pub status: StatusCode,
    /// The message for the client.
    pub message: &'static str,
    /// `retry-after`: when another request is worth it.
    pub retry_after: Option<HeaderValue>,
}

impl ErrorAnswer {
    /// The answer of an exchange that made no attempt; `None` where no client listens.
    #[must_use]
    pub fn of(failure: Failure) -> Option<Self> {
        let kind = failure.error()?;
        Some(Self { kind, status: kind.status(), message: failure.message(), retry_after: None })
    }
}

impl Attempts {
    /// The answer of an exchange that ended by this failure; `None` where no client listens.
    #[must_use]
    pub fn error_answer(&self, failure: Failure, now: Instant) -> Option<ErrorAnswer> {
        let mut answer = ErrorAnswer::of(failure)?;
        if failure.is_want_of_servers() {
            answer.retry_after = Some(HeaderValue::from(seconds_until(self.retry_at, now)));
        }
        if let Some(discarded) = self.discarded.as_ref().filter(|_| failure.is_by_upstream()) {
            // a response that a server gave says more than the failure of another
            answer.status = discarded.status;
            answer.retry_after = discarded.retry_after.clone().or(answer.retry_after);
        }
        Some(answer)
    }
}

/// Whole seconds until then, from 1 to 3600.
fn seconds_until(then: Option<Instant>, now: Instant) -> u64 {
    let left = then.map_or(Duration::ZERO, |then| then.saturating_duration_since(now));
    left.as_millis().div_ceil(1000).clamp(1, 3600) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_second_to_an_hour_and_rounded_up() {
        let now = Instant::now();
        for (milliseconds, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (3_600_000, 3600), (86_400_000, 3600)] {
            let then = now + Duration::from_millis(milliseconds);
            assert_eq!(seconds_until(Some(then), now), seconds, "{milliseconds} ms");
        }
        assert_eq!(seconds_until(None, now), 1);
        assert_eq!(seconds_until(Some(now), now + Duration::from_secs(9)), 1, "a time that is past");
    }
}
