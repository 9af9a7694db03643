//! A limit for log lines that clients or broken dependencies can repeat at any rate: the first is written at once, then one
//! a minute, with the number of those that were not.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long lines of one kind are suppressed after one was written.
const QUIET: Duration = Duration::from_secs(60);
/// Kinds that are told apart. Further ones are suppressed while none of these is a minute old.
const KINDS: usize = 1024;

/// Limits log lines of several kinds: what stands in the place of `K` is what makes two lines different to an operator, such
/// as the name of a server and what went wrong. Use a `static`, or a field of what the lines are about.
///
/// ```
/// # use plugin_api::LogLimit;
/// static FAILURES: LogLimit<&str> = LogLimit::new();
/// assert_eq!(FAILURES.pass("timeout"), Some(0), "written, and nothing was suppressed before");
/// assert_eq!(FAILURES.pass("timeout"), None, "not written");
/// assert_eq!(FAILURES.pass("refused"), Some(0), "another kind");
/// ```
#[derive(Debug, Default)]
pub struct LogLimit<K = ()>(Mutex<BTreeMap<K, Written>>);

#[derive(Debug)]
struct Written {
    /// When a line of this kind was last written.
    at: Instant,
    /// Lines that were not written since.
    suppressed: u64,
}

impl<K: Ord> LogLimit<K> {
    /// A limit under which no line was written yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Whether a line of this kind is to be written now. If so, gives how many were suppressed since the last one.
    pub fn pass(&self, kind: K) -> Option<u64> {
        self.pass_at(kind, Instant::now())
    }

    fn pass_at(&self, kind: K, now: Instant) -> Option<u64> {
        let is_quiet = |written: &Written| now.saturating_duration_since(written.at) < QUIET;
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = kinds.get_mut(&kind) {
            if is_quiet(written) {
                written.suppressed += 1;
                return None;
            }
            written.at = now;
            return Some(std::mem::take(&mut written.suppressed));
        }
        if kinds.len() >= KINDS {
            kinds.retain(|_, written| is_quiet(written));
        }
        if kinds.len() >= KINDS {
            return None;
        }
        kinds.insert(kind, Written { at: now, suppressed: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_a_minute_and_no_line_goes_uncounted() {
        let limit = LogLimit::new();
        let start = Instant::now();
        let (mut written, mut counted) = (0, 0);
        for second in 0..=600 {
            for _ in 0..20 {
                if let Some(suppressed) = limit.pass_at((), start + Duration::from_secs(second)) {
                    written += 1;
                    counted += suppressed + 1;
                }
            }
        }
        assert_eq!((written, counted), (11, 600 * 20 + 1));
    }

    #[test]
    fn kinds_do_not_hide_one_another_even_where_they_alternate() {
        let limit = LogLimit::new();
        let now = Instant::now();
        let written: Vec<_> = (0..100).filter_map(|n| limit.pass_at(n % 2, now)).collect();
        assert_eq!(written, [0, 0]);
    }

    #[test]
    fn any_number_of_kinds_takes_bounded_memory_and_old_ones_make_way() {
        let limit = LogLimit::new();
        let now = Instant::now();
        let written = (0..KINDS * 3).filter(|kind| limit.pass_at(*kind, now).is_some()).count();
        assert_eq!((written, limit.0.lock().unwrap().len()), (KINDS, KINDS));
        assert_eq!(limit.pass_at(usize::MAX, now + QUIET), Some(0));
        assert_eq!(limit.0.lock().unwrap().len(), 1);
    }
}
