//! The candidates of a selection: which backends are eligible, and what to report if none is.

use std::time::{Duration, Instant};

use super::backends::Backend;
use super::ejection::EjectionState;
use super::server::Availability;
use super::server_config::ServerConfig;
use super::turn::Turn;
use super::{Algorithm, SelectParams};

/// The outcome of a look at all backends.
#[derive(Default)]
pub(super) struct Candidates {
    /// Whether any backend is eligible.
    pub any_eligible: bool,
    /// Whether a backend would be eligible with fewer requests in flight.
    pub full: bool,
    /// The earliest end of an ejection.
    pub retry_at: Option<Instant>,
    /// The ejected backend to use when no other is left: the one whose ejection ends first. Only for first attempts;
    /// further ones are for servers that are not ejected.
    pub last_resort: Option<(Instant, usize)>,
}

impl Candidates {
    /// Marks the eligible turns: those of backends that can take the request, and those of backups only if no other can.
    pub fn of(
        configs: &[ServerConfig],
        list: &[Backend],
        turns: &mut [Turn],
        params: &SelectParams<'_>,
        rule: &Algorithm,
    ) -> Self {
        let mut candidates = Self::default();
        let (mut backups, mut last_resort_is_full) = (false, false);
        // a first attempt, which most are, may use any backend
        let is_first = params.tried.is_empty();
        let narrows = params.server_index.is_some() || !is_first;
        for (index, (backend, turn)) in list.iter().zip(turns.iter_mut()).enumerate() {
            let server = &backend.server;
            (turn.takes_part, turn.stands_by) = (false, false);
            if backend.down || narrows && !params.allows(backend) {
                continue;
            }
            let Availability { healthy, ejection, ramp_start } = server.availability(params.now);
            if !healthy {
                continue;
            }
            turn.load = server.in_flight();
            let full = turn.load >= backend.limit;
            if let EjectionState::Probing(until) | EjectionState::Ejected(until) = ejection {
                // no clock tells when a probe ends, but its end wakes the queue
                if ejection == EjectionState::Ejected(until) {
                    candidates.retry_at = Some(candidates.retry_at.map_or(until, |at| at.min(until)));
                }
                last_resort_is_full |= is_first && full;
                if is_first && !full && candidates.last_resort.is_none_or(|(best, _)| until < best) {
                    candidates.last_resort = Some((until, index));
                }
                continue;
            }
            candidates.full |= full;
            if full {
                continue;
            }
            turn.weight = ramp_start
                .map_or(backend.weight, |since| ramped(backend, &configs[backend.server_index], since, params.now));
            match rule {
                Algorithm::LeastTokens => turn.load = server.tokens_in_flight(),
                Algorithm::PeakEwma => turn.wait = server.latency.seconds(params.now),
                _ => {}
            }
            (turn.takes_part, turn.stands_by) = (!backend.backup, backend.backup);
            candidates.any_eligible |= !backend.backup;
            backups |= backend.backup;
        }
        if !candidates.any_eligible && backups {
            for turn in turns.iter_mut() {
                turn.takes_part = turn.stands_by;
            }
            candidates.any_eligible = true;
        }
        if candidates.any_eligible || candidates.full {
            candidates.last_resort = None;
        } else if candidates.last_resort.is_none() {
            candidates.full = last_resort_is_full;
        }
        candidates
    }
}

impl SelectParams<'_> {
    fn allows(&self, backend: &Backend) -> bool {
        self.server_index.is_none_or(|index| index == backend.server_index)
            && !self.tried.contains(&backend.server.id())
    }
}

/// The weight during a slow start that began then.
fn ramped(backend: &Backend, config: &ServerConfig, since: Instant, now: Instant) -> u64 {
    let passed = now.saturating_duration_since(since);
    if passed >= config.slow_start {
        backend.server.ramp_is_over(since);
        return backend.weight;
    }
    (backend.weight * ramp_share(passed, config.slow_start) / 1000).max(1)
}

/// The share of its weight that a server has this long after the start, in thousandths: from a tenth to all of it.
fn ramp_share(since: Duration, slow_start: Duration) -> u64 {
    if since >= slow_start {
        return 1000;
    }
    let share = since.as_micros() * 1000 / slow_start.as_micros().max(1);
    u64::try_from(share).unwrap_or(1000).max(100)
}
