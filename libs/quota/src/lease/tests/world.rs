//! Gateways that share a count, what happens on the way to it, and the stories that are told of them.

use std::sync::Arc;

use proptest::prelude::*;

use super::simulated::SharedCount;
use crate::lease::*;
use crate::limit::{Limit, Now, SECOND};
use crate::meter::Meter;
use crate::{Claim, Reservation, reserve};

pub(super) fn at(nanos: u64) -> Now {
    Now { nanos, unix: (nanos / SECOND) as i64 }
}

/// A gateway and its calls in progress.
pub(super) struct Gateway {
    pub(super) name: usize,
    pub(super) meter: Arc<Meter>,
    /// Each with its place among all uses.
    pub(super) open: Vec<(Reservation, usize)>,
    /// A report that the shared count has not seen yet, and may see later.
    pub(super) delayed: Option<Draw>,
}

/// What happens on the way to the shared count and back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Good,
    RequestLost,
    AnswerLost,
    /// The request arrives after the next one of the same gateway.
    Late,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(u64),
    Ask(usize, u64, Way),
    Settle(usize, prop::sample::Index, u64),
    Drop(usize, prop::sample::Index),
    Look(usize, Way),
    /// The gateway is killed, and another takes its place.
    Kill(usize),
}

pub(super) fn steps(most: u64) -> impl Strategy<Value = Vec<Step>> {
    let way = prop_oneof![
        8 => Just(Way::Good), 1 => Just(Way::RequestLost), 1 => Just(Way::AnswerLost), 1 => Just(Way::Late)
    ];
    let step = prop_oneof![
        4 => (0..3 * SECOND).prop_map(Step::Wait),
        12 => (0..3_usize, 1..=most, way.clone()).prop_map(|(gateway, amount, way)| Step::Ask(gateway, amount, way)),
        6 => (0..3_usize, any::<prop::sample::Index>(), 0_u64..=100).prop_map(|(gateway, which, share)| Step::Settle(gateway, which, share)),
        2 => (0..3_usize, any::<prop::sample::Index>()).prop_map(|(gateway, which)| Step::Drop(gateway, which)),
        3 => (0..3_usize, way).prop_map(|(gateway, way)| Step::Look(gateway, way)),
        1 => (0..3_usize).prop_map(Step::Kill),
    ];
    prop::collection::vec(step, 1..150)
}

/// Three gateways, and what was used by all of them.
pub(super) struct World {
    pub(super) limit: Limit,
    pub(super) is_spent: bool,
    pub(super) on_silence: OnSilence,
    pub(super) count: SharedCount,
    pub(super) gateways: Vec<Gateway>,
    pub(super) names: usize,
    pub(super) time: u64,
    /// When it counts, and how much.
    pub(super) uses: Vec<(u64, u64)>,
}

impl World {
    pub(super) fn new(limit: Limit, is_spent: bool) -> Self {
        let mut world = Self {
            limit,
            is_spent,
            on_silence: OnSilence::Refuse,
            count: SharedCount::default(),
            gateways: Vec::new(),
            names: 0,
            time: SECOND,
            uses: Vec::new(),
        };
        for _ in 0..3 {
            let gateway = world.gateway();
            world.gateways.push(gateway);
        }
        world
    }

    pub(super) fn gateway(&mut self) -> Gateway {
        self.names += 1;
        Gateway { name: self.names, meter: Arc::new(Meter::leased()), open: Vec::new(), delayed: None }
    }

    pub(super) fn claim(&self, gateway: usize, amount: u64) -> Claim {
        let claim = if self.is_spent { Claim::spend } else { Claim::hold };
        claim(self.gateways[gateway].meter.clone(), self.limit, amount)
    }

    /// Asks out of the lease, and else by a draw. What is silent is not admitted here.
    pub(super) fn ask(&mut self, gateway: usize, amount: u64, way: Way) -> bool {
        for draws in [true, false] {
            if self.gateways[gateway].meter.fit(&self.limit, amount, at(self.time)) == Fit::Fits
                && let Ok(mut reserved) = reserve(vec![self.claim(gateway, amount)], at(self.time))
            {
                let reservation = reserved.remove(0);
                self.gateways[gateway].open.push((reservation, self.uses.len()));
                self.uses.push((self.time, if self.is_spent { amount } else { 0 }));
                return true;
            }
            if draws {
                self.draw(gateway, amount, way);
            }
        }
        false
    }

    pub(super) fn draw(&mut self, gateway: usize, amount: u64, way: Way) {
        let (now, limit) = (at(self.time), self.limit);
        let Gateway { name, meter, delayed, .. } = &mut self.gateways[gateway];
        let draw = meter.draw(&limit, amount, 0, now).unwrap();
        let late = delayed.take();
        let grant = match way {
            Way::Good | Way::AnswerLost => self.count.draw(*name, &draw, &limit, self.time / 1000),
            Way::Late => {
                *delayed = Some(draw);
                None
            }
            Way::RequestLost => None,
        };
        if let Some(late) = late {
            // comes at last; nobody waits for the answer
            self.count.draw(*name, &late, &limit, self.time / 1000);
        }
        match grant.filter(|_| matches!(way, Way::Good)) {
            Some(grant) => meter.granted(&limit, &draw, &grant, now),
            None => meter.unanswered(&limit, self.on_silence, 3, now),
        }
    }

    pub(super) fn settle(&mut self, gateway: usize, which: prop::sample::Index, share: u64) {
        let open = &mut self.gateways[gateway].open;
        if !open.is_empty() {
            let (reservation, place) = open.swap_remove(which.index(open.len()));
            let used = reservation.amount() * share / 100;
            self.uses[place] = (if self.is_spent { self.uses[place].0 } else { self.time }, used);
            reservation.settle(used, at(self.time));
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Wait(nanos) => self.time += nanos,
            Step::Ask(gateway, amount, way) => drop(self.ask(gateway, amount, way)),
            Step::Settle(gateway, which, share) => self.settle(gateway, which, share),
            Step::Drop(gateway, which) => {
                let open = &mut self.gateways[gateway].open;
                if !open.is_empty() {
                    open.swap_remove(which.index(open.len()));
                }
            }
            Step::Look(gateway, way) => {
                if self.gateways[gateway].meter.due(&self.limit, at(self.time)) == Due::Report {
                    self.draw(gateway, 0, way);
                }
            }
            Step::Kill(gateway) => {
                // what its calls in progress used, the provider knows
                for (reservation, place) in self.gateways[gateway].open.drain(..) {
                    if !self.is_spent {
                        self.uses[place] = (self.time, reservation.amount());
                    }
                    std::mem::forget(reservation);
                }
                let other = self.gateway();
                self.gateways[gateway] = other;
            }
        }
    }

    /// Lets all calls end, and everybody report.
    pub(super) fn end(&mut self) {
        for gateway in 0..3 {
            self.gateways[gateway].open.clear();
            self.gateways[gateway].delayed = None;
        }
        for _ in 0..8 {
            self.time += 3 * SECOND;
            (0..3).for_each(|gateway| self.step(Step::Look(gateway, Way::Good)));
        }
        let closed = |gateway: &Gateway| gateway.meter.due(&self.limit, at(self.time)) == Due::Closed;
        assert!(self.gateways.iter().all(closed));
        assert_eq!(self.count.leased(self.time / 1000), 0);
    }

    /// The most that was used in any stretch of time beyond what drains in it.
    pub(super) fn peak(&self, amount: u64, period: u64) -> u64 {
        let mut uses = self.uses.clone();
        uses.sort_unstable();
        let mut peak = 0;
        for (first, (begin, _)) in uses.iter().enumerate() {
            let mut sum = 0;
            for (end, used) in &uses[first..] {
                sum += used;
                let drained = u128::from(end - begin) * u128::from(amount) / u128::from(period);
                peak = peak.max(sum.saturating_sub(drained as u64));
            }
        }
        peak
    }
}
