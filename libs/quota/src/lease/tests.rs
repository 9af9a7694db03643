//! What must never happen to limits that gateways share, whatever is lost, late or dead: more passes than allowed while the shared count
//! answers, or something stays leased in the end.

mod scenarios;
pub(crate) mod simulated;
mod world;

use proptest::prelude::*;

use crate::lease::OnSilence;
use crate::limit::{Limit, SECOND};
use crate::{Calendar, Unit};
use world::{Step, Way, World, steps};

const HOUR: u64 = 3600 * SECOND;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn gateways_together_never_use_more_of_a_bucket_than_it_holds_and_drains(
        steps in steps(60), amount in 1_u64..50, capacity in 60_u64..300, is_spent: bool,
    ) {
        let mut world = World::new(Limit::per_second(amount, capacity), is_spent);
        steps.into_iter().for_each(|step| world.step(step));
        let peak = world.peak(amount, SECOND);
        prop_assert!(peak <= capacity + 1, "{peak} of {capacity}: {:?}", world.uses);
        world.end();
    }

    #[test]
    fn gateways_together_never_use_more_of_a_day_than_it_has(
        steps in steps(60), amount in 60_u64..600, is_spent: bool, hours in 0_u64..24,
    ) {
        let limit = Limit::Window { amount, unit: Unit::Day, calendar: Calendar::UTC };
        let mut world = World::new(limit, is_spent);
        // most of it lies in one day, and sometimes midnight comes in between
        world.time = (24 + hours) * HOUR - 30 * SECOND;
        steps.into_iter().for_each(|step| world.step(step));
        for day in 0..4 {
            let of_day = world.uses.iter().filter(|(time, _)| time / SECOND / 86_400 == day);
            let sum: u64 = of_day.map(|(_, used)| used).sum();
            // what began before midnight and ends after it counts for no day here, but in the sum of the next
            let across = if is_spent { 0 } else { amount };
            prop_assert!(sum <= amount + if hours == 0 { across } else { 0 }, "{sum} of {amount}: {:?}", world.uses);
        }
        world.end();
    }

    #[test]
    fn gateways_that_go_on_by_themselves_use_no_more_than_a_second_limit(
        steps in steps(60), amount in 60_u64..600, is_spent: bool,
    ) {
        let limit = Limit::Window { amount, unit: Unit::Day, calendar: Calendar::UTC };
        let mut world = World::new(limit, is_spent);
        world.on_silence = OnSilence::Local;
        world.time = 36 * HOUR;
        // nobody answers from some moment on
        let silent = steps.len() / 2;
        for (number, step) in steps.into_iter().enumerate() {
            world.step(match step {
                Step::Kill(_) => continue,
                Step::Ask(gateway, amount, _) if number >= silent => Step::Ask(gateway, amount, Way::RequestLost),
                Step::Look(gateway, _) if number >= silent => Step::Look(gateway, Way::RequestLost),
                Step::Ask(gateway, amount, _) => Step::Ask(gateway, amount, Way::Good),
                Step::Look(gateway, _) => Step::Look(gateway, Way::Good),
                other => other,
            });
        }
        let sum: u64 = world.uses.iter().map(|(_, used)| used).sum();
        // shares are rounded up
        prop_assert!(sum <= 2 * amount + 3, "{sum} of {amount}: {:?}", world.uses);
        // and all of it is counted in the end
        world.end();
        prop_assert_eq!(world.count.used(), sum);
    }

    #[test]
    fn no_more_calls_are_in_progress_on_all_gateways_than_may_be(steps in steps(1), amount in 1_u64..12) {
        let mut world = World::new(Limit::Concurrent { amount }, false);
        for step in steps {
            // one that does not look after its lease has lost it; real gateways do so four times a second
            if matches!(step, Step::Wait(_)) {
                (0..3).for_each(|gateway| world.step(Step::Look(gateway, Way::Good)));
            }
            world.step(step);
            let open: usize = world.gateways.iter().map(|gateway| gateway.open.len()).sum();
            prop_assert!(open as u64 <= amount, "{open} of {amount}");
        }
        world.end();
    }
}
