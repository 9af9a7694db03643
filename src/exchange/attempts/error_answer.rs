//! What the client of a failed exchange is answered, by its failure and by what servers have said before.

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

/// What a client is answered whose exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The status, which may be that of a response that was discarded.
    pub status: StatusCode,
    /// What the client is told.
    pub message: &'static str,
    /// When it may come again.
    pub retry_after: Option<HeaderValue>,
}

impl ErrorAnswer {
    /// That of an exchange of which no attempt was made; none where nobody listens.
    #[must_use]
    pub fn of(failure: Failure) -> Option<Self> {
        let kind = failure.error()?;
        Some(Self { kind, status: kind.status(), message: failure.message(), retry_after: None })
    }
}

impl Attempts {
    /// What a client is answered whose exchange ended by this failure; none where nobody listens.
    #[must_use]
    pub fn error_answer(&self, failure: Failure, now: Instant) -> Option<ErrorAnswer> {
        let mut answer = ErrorAnswer::of(failure)?;
        if failure.is_want_of_servers() {
            answer.retry_after = Some(HeaderValue::from(seconds_until(self.retry_at, now)));
        }
        if let Some(discarded) = self.discarded.as_ref().filter(|_| failure.is_by_upstream()) {
            // what a server said goes before what another did not
            answer.status = discarded.status;
            answer.retry_after = discarded.retry_after.clone().or(answer.retry_after);
        }
        Some(answer)
    }
}

/// Whole seconds until then, 1 to 3600.
fn seconds_until(then: Option<Instant>, now: Instant) -> u64 {
    let left = then.map_or(Duration::ZERO, |then| then.saturating_duration_since(now));
    left.as_millis().div_ceil(1000).clamp(1, 3600) as u64
}
