//! The attempts of an exchange upstream, each with its server and its times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

/// An attempt upstream. Times are from the head of the request on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When a server was asked for; until it began, the request waited for one.
    pub wanted: Duration,
    /// When it began.
    pub began: Duration,
    /// When it ended, if that was before the exchange did: it failed, or its response was discarded.
    pub ended: Option<Duration>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The server, as the YAML writes it.
    pub server: Arc<str>,
    /// Where it went.
    pub address: SocketAddr,
    /// Why it failed, in a word.
    pub error: Option<&'static str>,
    /// The status of its response, where one came.
    pub status: Option<StatusCode>,
}

/// The attempts of an exchange, in order. Nearly every request has one attempt, which is not in it where it did not fail and no spans are
/// made: it needs no memory. An attempt on a fresh connection in the place of a stale one is in it, although it is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptLog(Vec<Attempt>);

impl AttemptLog {
    /// None.
    pub const NONE: Self = Self(Vec::new());

    /// An attempt is made, or was.
    pub fn push(&mut self, attempt: Attempt) {
        self.0.push(attempt);
    }

    /// The present attempt is over, if it was not before: it failed for this reason.
    pub fn failed(&mut self, at: Duration, error: &'static str) {
        if let Some(attempt) = self.0.last_mut().filter(|attempt| attempt.ended.is_none()) {
            (attempt.ended, attempt.error) = (Some(at), Some(error));
        }
    }

    /// The present attempt has a response with this status.
    pub fn answered(&mut self, status: StatusCode) {
        if let Some(attempt) = self.0.last_mut() {
            attempt.status = Some(status);
        }
    }

    /// The same, of an exchange that began so long before.
    #[must_use]
    pub fn later_by(mut self, time: Duration) -> Self {
        for attempt in &mut self.0 {
            attempt.wanted += time;
            attempt.began += time;
            attempt.ended = attempt.ended.map(|ended| ended + time);
        }
        self
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Attempt] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn attempt(number: u64) -> Attempt {
        Attempt {
            wanted: after(number),
            began: after(number),
            ended: None,
            upstream: "a".into(),
            server: "b".into(),
            address: "127.0.0.1:1".parse().unwrap(),
            error: None,
            status: None,
        }
    }

    #[test]
    fn attempts_of_another_exchange_get_the_times_of_this_one() {
        let mut log = AttemptLog::NONE;
        log.push(attempt(1));
        log.failed(after(3), "connect");
        log.push(attempt(4));
        let log = log.later_by(after(10));
        let times: Vec<_> =
            log.as_slice().iter().map(|attempt| (attempt.wanted, attempt.began, attempt.ended)).collect();
        assert_eq!(times, [(after(11), after(11), Some(after(13))), (after(14), after(14), None)]);
    }

    #[test]
    fn an_attempt_fails_once() {
        let mut log = AttemptLog::NONE;
        log.failed(after(1), "connect");
        log.answered(StatusCode::OK);
        assert_eq!(log.as_slice(), []);
        log.push(attempt(1));
        log.answered(StatusCode::SERVICE_UNAVAILABLE);
        log.failed(after(2), "status");
        log.failed(after(3), "no_answer");
        log.push(attempt(4));
        log.answered(StatusCode::OK);
        let [first, last] = log.as_slice() else { panic!("{log:?}") };
        assert_eq!(
            (first.ended, first.error, first.status),
            (Some(after(2)), Some("status"), Some(StatusCode::SERVICE_UNAVAILABLE))
        );
        assert_eq!((last.ended, last.error, last.status), (None, None, Some(StatusCode::OK)));
    }
}
