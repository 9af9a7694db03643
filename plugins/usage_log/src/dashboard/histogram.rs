//! Percentiles of a histogram of latencies.

use serde_json::{Value, json};

use crate::rollup::BUCKETS;

/// As many buckets there are.
pub(super) const COUNTS: usize = BUCKETS.len() + 1;

/// The calls in each bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Histogram(pub(super) [i128; COUNTS]);

impl Histogram {
    pub(super) fn none() -> Self {
        Self([0; COUNTS])
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, count)| *sum += count);
    }

    /// The latency that so many percent of the calls do not exceed, in milliseconds: within its bucket as if calls were spread evenly. What is
    /// beyond the last bucket is at its beginning.
    fn percentile(&self, percent: i128) -> Option<i64> {
        let all: i128 = self.0.iter().map(|count| (*count).max(0)).sum();
        if all == 0 {
            return None;
        }
        let rank = (all * percent + 99) / 100;
        let mut below = 0;
        for (at, count) in self.0.iter().map(|count| (*count).max(0)).enumerate() {
            if below + count >= rank {
                let from = if at == 0 { 0 } else { BUCKETS[at - 1] };
                let Some(to) = BUCKETS.get(at) else { return Some(from) };
                let within = (rank - below) * i128::from(to - from) / count.max(1);
                return Some(from + i64::try_from(within).unwrap_or(0));
            }
            below += count;
        }
        None
    }

    /// p50, p95 and p99.
    pub(super) fn percentiles(&self) -> [(&'static str, Value); 3] {
        let percentile = |percent| self.percentile(percent).map_or(Value::Null, |milliseconds| json!(milliseconds));
        [("p50_ms", percentile(50)), ("p95_ms", percentile(95)), ("p99_ms", percentile(99))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_within_buckets() {
        assert_eq!(Histogram::none().percentile(50), None);
        let mut one = Histogram::none();
        one.0[COUNTS - 1] = 1;
        assert_eq!(one.percentile(50), Some(600_000));
        let mut spread = Histogram::none();
        // 50 up to 10 ms, 45 of 800 to 1000, 5 of 2000 to 3000
        (spread.0[0], spread.0[8], spread.0[11]) = (50, 45, 5);
        assert_eq!(spread.percentile(50), Some(10));
        assert_eq!(spread.percentile(95), Some(1000));
        assert_eq!(spread.percentile(99), Some(2800));
    }
}
