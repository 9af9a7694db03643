//! A time in which the database takes nothing: since when, and when to log it again.

use std::time::{Duration, Instant};

/// How often an outage that goes on is logged again.
const REMIND: Duration = Duration::from_secs(60);

/// The outage, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// When it began, and when it was last logged.
    times: Option<(Instant, Instant)>,
}

impl Outage {
    /// The database takes nothing, for the first time or still. Gives how long it has been so, in seconds, if that is to be logged now.
    pub(crate) fn goes_on(&mut self, now: Instant) -> Option<u64> {
        let (since, logged) = self.times.unwrap_or((now, now));
        let is_due = self.times.is_none() || now - logged >= REMIND;
        self.times = Some((since, if is_due { now } else { logged }));
        is_due.then(|| (now - since).as_secs())
    }

    /// The database takes rows. Gives how long it took none, in seconds, if there was an outage.
    pub(crate) fn end(&mut self, now: Instant) -> Option<u64> {
        self.times.take().map(|(since, _)| (now - since).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_logged_when_it_begins_once_a_minute_and_when_it_ends() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.end(start), None);
        let logged = (0..=150).filter_map(|second| outage.goes_on(at(second))).collect::<Vec<_>>();
        assert_eq!(logged, [0, 60, 120]);
        assert_eq!((outage.end(at(151)), outage.end(at(152))), (Some(151), None));
    }
}
