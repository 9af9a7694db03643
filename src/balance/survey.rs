//! A look at all servers before one is chosen: who may be, and what there is to say if nobody may.

use std::time::{Duration, Instant};

use super::ejection::Standing;
use super::members::Member;
use super::server::Fitness;
use super::site::Site;
use super::turn::Turn;
use super::{Algorithm, Ask};

/// What a look at all servers tells.
#[derive(Default)]
pub(super) struct Survey {
    /// Whether anybody takes part.
    pub anybody: bool,
    /// Whether somebody would be chosen, with less in flight.
    pub full: bool,
    /// When the first of the ejected may be tried again.
    pub earliest: Option<Instant>,
    /// Who is taken for want of anybody. Not for a further attempt: those are for servers in good standing.
    pub last_resort: Option<(Instant, usize)>,
}

impl Survey {
    /// Sees who takes part: those who can, and the backups only if nobody else can.
    pub fn of(sites: &[Site], list: &[Member], turns: &mut [Turn], ask: &Ask<'_>, rule: &Algorithm) -> Self {
        let mut survey = Self::default();
        let (mut backups, mut last_resort_is_full) = (false, false);
        // a first attempt, as most are, may go to anybody
        let is_first = ask.tried.is_empty();
        let narrows = ask.site.is_some() || !is_first;
        for (index, (member, turn)) in list.iter().zip(turns.iter_mut()).enumerate() {
            let server = &member.server;
            (turn.takes_part, turn.stands_by) = (false, false);
            if member.down || narrows && !ask.allows(member) {
                continue;
            }
            let Fitness { healthy, standing, ramp } = server.fitness(ask.now);
            if !healthy {
                continue;
            }
            turn.load = server.in_flight();
            let full = turn.load >= member.limit;
            if let Standing::Probing(until) | Standing::Out(until) = standing {
                // when a probe ends no clock tells, and its end wakes who waits
                if standing == Standing::Out(until) {
                    survey.earliest = Some(survey.earliest.map_or(until, |earliest| earliest.min(until)));
                }
                last_resort_is_full |= is_first && full;
                if is_first && !full && survey.last_resort.is_none_or(|(best, _)| until < best) {
                    survey.last_resort = Some((until, index));
                }
                continue;
            }
            survey.full |= full;
            if full {
                continue;
            }
            turn.weight = ramp.map_or(member.weight, |since| ramped(member, &sites[member.site], since, ask.now));
            match rule {
                Algorithm::LeastTokens => turn.load = server.tokens_in_flight(),
                Algorithm::PeakEwma => turn.wait = server.latency.seconds(ask.now),
                _ => {}
            }
            (turn.takes_part, turn.stands_by) = (!member.backup, member.backup);
            survey.anybody |= !member.backup;
            backups |= member.backup;
        }
        if !survey.anybody && backups {
            for turn in turns.iter_mut() {
                turn.takes_part = turn.stands_by;
            }
            survey.anybody = true;
        }
        if survey.anybody || survey.full {
            survey.last_resort = None;
        } else if survey.last_resort.is_none() {
            survey.full = last_resort_is_full;
        }
        survey
    }
}

impl Ask<'_> {
    fn allows(&self, member: &Member) -> bool {
        self.site.is_none_or(|site| site == member.site) && !self.tried.contains(&member.server.id())
    }
}

/// A weight that has been growing since then.
fn ramped(member: &Member, site: &Site, since: Instant, now: Instant) -> u64 {
    let passed = now.saturating_duration_since(since);
    if passed >= site.slow_start {
        member.server.ramp_is_over(since);
        return member.weight;
    }
    (member.weight * ramp_share(passed, site.slow_start) / 1000).max(1)
}

/// How much of its weight a server has so long after it came: from a tenth to all of it, in thousandths.
fn ramp_share(since: Duration, slow_start: Duration) -> u64 {
    if since >= slow_start {
        return 1000;
    }
    let share = since.as_micros() * 1000 / slow_start.as_micros().max(1);
    u64::try_from(share).unwrap_or(1000).max(100)
}
