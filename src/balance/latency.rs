//! The time to first byte of a server: a moving average that rises to a peak at once and decays slowly (peak EWMA).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time constant of the decay: after it, about a third of a peak is left.
const FORGETS: Duration = Duration::from_secs(10);
/// The time that a failure counts as, in seconds, unless its `retry-after` is longer.
const PENALTY: f32 = 5.0;

/// The average of one server: seconds and the time of the last update in one atomic word, which every selection reads.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

/// An average at a moment; 0 seconds if nothing was observed yet.
#[derive(Clone, Copy, Debug)]
struct Average {
    seconds: f32,
    /// Milliseconds since the first reading of the clock; they wrap after 49 days.
    at: u32,
}

impl Latency {
    /// Records a time to first byte.
    pub fn observe(&self, took: Duration, now: Instant) {
        self.add(took.as_secs_f32(), now);
    }

    /// Records a failure, with the server's `retry-after`.
    pub fn penalise(&self, retry_after: Option<Duration>, now: Instant) {
        self.add(retry_after.map_or(0.0, |asked| asked.as_secs_f32()).max(PENALTY), now);
    }

    /// The average in seconds, decayed to this time; 0 if nothing was observed yet.
    #[inline]
    pub fn seconds(&self, now: Instant) -> f64 {
        let average = Average::from(self.0.load(Ordering::Relaxed));
        if average.seconds == 0.0 { 0.0 } else { f64::from(average.seconds * kept(average.at, milliseconds(now))) }
    }

    fn add(&self, seconds: f32, now: Instant) {
        let now = milliseconds(now);
        let next = |word: u64| {
            let before = Average::from(word);
            // a peak replaces the average, a lower value moves it
            let kept = if seconds < before.seconds { kept(before.at, now) } else { 0.0 };
            let seconds = before.seconds * kept + seconds * (1.0 - kept);
            // 0 means that nothing was observed
            Some(u64::from(Average { seconds: seconds.max(f32::MIN_POSITIVE), at: now }))
        };
        // never fails: the function always returns a value
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

impl From<u64> for Average {
    #[expect(clippy::cast_possible_truncation, reason = "each half is its own")]
    fn from(word: u64) -> Self {
        Self { seconds: f32::from_bits((word >> 32) as u32), at: word as u32 }
    }
}

impl From<Average> for u64 {
    fn from(average: Average) -> Self {
        Self::from(average.seconds.to_bits()) << 32 | Self::from(average.at)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only differences are looked at")]
fn milliseconds(now: Instant) -> u32 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    now.saturating_duration_since(*FIRST.get_or_init(|| now)).as_millis() as u32
}

#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn kept(before: u32, now: u32) -> f32 {
    let passed = now.wrapping_sub(before).cast_signed().max(0);
    if passed == 0 { 1.0 } else { (-(passed as f32) / FORGETS.as_millis() as f32).exp() }
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
