//! How long a server has been taking for its first byte: an average that follows peaks at once and forgets slowly.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// In what time a wait is forgotten to about a third.
const FORGETS: Duration = Duration::from_secs(10);
/// What a failure counts as, in seconds, if the server does not ask for more.
const PENALTY: f64 = 5.0;

/// The average of one server.
#[derive(Debug, Default)]
pub(super) struct Latency(Mutex<Option<Average>>);

/// Seconds, as they were at that moment.
#[derive(Clone, Copy, Debug)]
struct Average {
    seconds: f64,
    at: Instant,
}

impl Latency {
    /// A first byte came after this time.
    pub fn observe(&self, took: Duration, now: Instant) {
        self.add(took.as_secs_f64(), now);
    }

    /// It failed, and may have asked to be left alone for a time.
    pub fn penalise(&self, retry_after: Option<Duration>, now: Instant) {
        self.add(retry_after.map_or(0.0, |asked| asked.as_secs_f64()).max(PENALTY), now);
    }

    /// The average in seconds, which fades while nothing is known; 0 if nothing ever was.
    pub fn seconds(&self, now: Instant) -> f64 {
        let average = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        average.map_or(0.0, |average| average.seconds * kept(average.at, now))
    }

    fn add(&self, seconds: f64, now: Instant) {
        let mut average = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match *average {
            // the peak
            Some(before) if seconds < before.seconds => {
                let kept = kept(before.at, now);
                before.seconds * kept + seconds * (1.0 - kept)
            }
            _ => seconds,
        };
        *average = Some(Average { seconds: next, at: now });
    }
}

fn kept(before: Instant, now: Instant) -> f64 {
    let passed = now.saturating_duration_since(before);
    (-passed.as_secs_f64() / FORGETS.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let (latency, start) = (Latency::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(latency.seconds(start), 0.0);
        latency.observe(Duration::from_millis(100), at(0));
        latency.observe(Duration::from_secs(4), at(1));
        assert_eq!(latency.seconds(at(1)), 4.0);
        latency.observe(Duration::from_millis(100), at(11));
        let faded = latency.seconds(at(11));
        assert!(faded > 1.4 && faded < 1.7, "{faded}");
        assert!(latency.seconds(at(61)) < 0.02);
    }

    #[test]
    fn a_failure_counts_as_a_long_wait_or_as_long_as_the_server_asks_for() {
        let (latency, now) = (Latency::default(), Instant::now());
        latency.penalise(None, now);
        assert_eq!(latency.seconds(now), 5.0);
        latency.penalise(Some(Duration::from_secs(60)), now);
        assert_eq!(latency.seconds(now), 60.0);
        latency.penalise(None, now);
        assert_eq!(latency.seconds(now), 60.0, "a lesser one right behind it changes nothing yet");
    }
}
