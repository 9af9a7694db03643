//! What must never happen, whatever calls come in whatever order: more passes than allowed, something is held in the end, or a
//! refusal takes something.

mod several;

use std::sync::Arc;

use proptest::prelude::*;

use crate::limit::SECOND;
use crate::{Calendar, Claim, Limit, Meter, Meters, Now, Reservation, Subject, Unit, reserve};

fn at(nanos: u64) -> Now {
    Now { nanos, unix: (nanos / SECOND) as i64 }
}

/// A step of a story.
#[derive(Clone, Debug)]
enum Step {
    /// So much time passes, in nanoseconds.
    Wait(u64),
    /// A call asks for so much.
    Ask(u64),
    /// A call ends that used this share, in percent, of what it reserved.
    Settle(prop::sample::Index, u64),
    /// A call is dropped.
    Drop(prop::sample::Index),
}

fn steps(most: u64) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..3 * SECOND).prop_map(Step::Wait),
        4 => (1..=most).prop_map(Step::Ask),
        3 => (any::<prop::sample::Index>(), 0_u64..=100).prop_map(|(which, share)| Step::Settle(which, share)),
        1 => any::<prop::sample::Index>().prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 1..200)
}

/// Tells a story to one meter. What was used, and when; the meter in the end, with nothing in progress.
fn told(limit: Limit, steps: Vec<Step>, is_spent: bool) -> (Vec<(u64, u64)>, Arc<Meter>, u64) {
    let meter = Arc::<Meter>::default();
    let mut open: Vec<(Reservation, u64)> = Vec::new();
    // when it counts, and how much; of what is spent at once, the call whose refund may still come
    let mut uses: Vec<(u64, u64)> = Vec::new();
    let mut time = 0;
    for step in steps {
        match step {
            Step::Wait(nanos) => time += nanos,
            Step::Ask(amount) => {
                let claim = if is_spent { Claim::spend } else { Claim::hold };
                if let Ok(mut reserved) = reserve(vec![claim(meter.clone(), limit, amount)], at(time)) {
                    open.push((reserved.remove(0), uses.len() as u64));
                    uses.push((time, if is_spent { amount } else { 0 }));
                }
            }
            Step::Settle(which, share) if !open.is_empty() => {
                let (reservation, number) = open.swap_remove(which.index(open.len()));
                let used = reservation.amount() * share / 100;
                uses[number as usize] = (if is_spent { uses[number as usize].0 } else { time }, used);
                reservation.settle(used, at(time));
            }
            Step::Drop(which) if !open.is_empty() => drop(open.swap_remove(which.index(open.len()))),
            Step::Settle(..) | Step::Drop(_) => {}
        }
        let state = meter.lock();
        assert_eq!(state.held, open.iter().filter(|_| !is_spent).map(|(one, _)| one.amount()).sum::<u64>());
    }
    drop(open);
    uses.sort_unstable();
    (uses, meter, time)
}

/// The most that was used in any stretch of time beyond what drains in it.
fn peak(uses: &[(u64, u64)], amount: u64, period: u64) -> u64 {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn in_no_stretch_of_time_more_is_used_than_a_bucket_holds_and_drains(
        steps in steps(60), amount in 1_u64..50, capacity in 60_u64..100,
    ) {
        let limit = Limit::per_second(amount, capacity);
        let (uses, meter, time) = told(limit, steps, false);
        // drained parts of a unit are not lost, so a stretch may have one more
        prop_assert!(peak(&uses, amount, SECOND) <= capacity + 1, "{} {uses:?}", peak(&uses, amount, SECOND));
        prop_assert_eq!(meter.held(), 0);
        let later = at(time + capacity.div_ceil(amount) * SECOND);
        prop_assert_eq!(meter.used(&limit, later), 0);
        prop_assert_eq!(meter.standing(&limit, later).remaining, capacity);
    }

    #[test]
    fn what_is_spent_at_once_and_given_back_never_lets_more_pass(
        steps in steps(3), amount in 1_u64..20, capacity in 3_u64..30,
    ) {
        let (uses, meter, _) = told(Limit::per_second(amount, capacity), steps, true);
        prop_assert!(peak(&uses, amount, SECOND) <= capacity + 1, "{} {uses:?}", peak(&uses, amount, SECOND));
        prop_assert_eq!(meter.held(), 0);
    }

    #[test]
    fn a_window_never_holds_more_than_it_may_and_counts_what_began_in_it(
        steps in steps(60), amount in 60_u64..200,
    ) {
        // a story of ten days
        let steps = steps.into_iter().map(|step| match step {
            Step::Wait(nanos) => Step::Wait(nanos * 6 * 3600),
            other => other,
        });
        let limit = Limit::Window { amount, unit: Unit::Day, calendar: Calendar::UTC };
        let (uses, meter, _) = told(limit, steps.collect(), true);
        for day in 0..2000_u64 {
            let of_day = uses.iter().filter(|(time, _)| time / SECOND / 86_400 == day);
            prop_assert!(of_day.map(|(_, used)| used).sum::<u64>() <= amount);
        }
        prop_assert_eq!(meter.held(), 0);
    }

    #[test]
    fn no_more_are_in_progress_than_may_be(steps in steps(1), amount in 1_u64..6) {
        let (_, meter, _) = told(Limit::Concurrent { amount }, steps, false);
        prop_assert_eq!(meter.held(), 0);
    }

    #[test]
    fn whoever_waits_as_long_as_was_said_passes_and_never_a_moment_before(
        used in 1_u64..500, asked in 1_u64..200, amount in 1_u64..1000, period in 1_u64..100_000, passed in 0_u64..100_000,
    ) {
        let limit = Limit::Rate { amount, period, capacity: 200 };
        let meter = Arc::<Meter>::default();
        let mut first = reserve(vec![Claim::hold(meter.clone(), limit, 1)], at(0)).unwrap();
        first.remove(0).settle(used, at(0));
        let ask = |time| reserve(vec![Claim::hold(meter.clone(), limit, asked)], at(time)).map(drop);
        if let Err(refused) = ask(passed) {
            let soonest = passed + refused.wait_nanos;
            prop_assert!(ask(soonest - 1).is_err());
            prop_assert!(ask(soonest).is_ok());
        }
    }
}

#[test]
fn what_is_used_as_known_from_elsewhere_takes_the_place_of_what_was_held_for_it() {
    let limit = Limit::Window { amount: 100, unit: Unit::Day, calendar: Calendar::UTC };
    let meter = Arc::<Meter>::default();
    let hold = |amount, now| reserve(vec![Claim::hold(meter.clone(), limit, amount)], now).unwrap().remove(0);
    let (first, other) = (hold(40, at(0)), hold(30, at(0)));
    let (window, end) = first.window().unwrap();
    first.settle_as(50, window, at(0));
    assert_eq!((meter.used(&limit, at(0)), meter.held()), (50, 30));
    let tomorrow = Now { nanos: 0, unix: end };
    let late = hold(10, tomorrow);
    // of a window that is over, nothing is shown or given back
    other.settle_as(80, window, tomorrow);
    assert_eq!((meter.used(&limit, tomorrow), meter.held()), (0, 10));
    late.settle_as(7, end, tomorrow);
    assert_eq!((meter.used(&limit, tomorrow), meter.held()), (7, 0));
}

#[test]
fn an_estimate_above_the_limit_passes_where_nothing_is_used_and_leaves_a_debt() {
    let limit = Limit::per_minute(1000);
    let meter = Arc::<Meter>::default();
    let ask = |amount, now| reserve(vec![Claim::hold(meter.clone(), limit, amount)], now);
    let mut huge = ask(128_000, at(0)).unwrap();
    assert_eq!(huge[0].amount(), 1000);
    assert!(ask(1, at(0)).is_err());
    huge.remove(0).settle(3000, at(0));
    // the debt is paid before the next call: two minutes, and the time for one token
    assert_eq!(ask(1, at(0)).unwrap_err().wait_nanos, 2 * 60 * SECOND + 60 * SECOND / 1000);
    assert!(ask(128_000, at(179 * SECOND)).is_err());
    assert!(ask(128_000, at(180 * SECOND)).is_ok());
}

#[test]
fn a_changed_limit_applies_to_what_was_counted_before() {
    let meter = Arc::<Meter>::default();
    let old = Limit::per_minute(1000);
    reserve(vec![Claim::hold(meter.clone(), old, 600)], at(0)).unwrap().remove(0).settle(600, at(0));
    assert_eq!(meter.standing(&Limit::per_minute(500), at(0)).remaining, 0);
    assert_eq!(meter.standing(&Limit::per_minute(2000), at(0)).remaining, 1400);
    let lower = Limit::per_minute(500);
    assert!(reserve(vec![Claim::hold(meter.clone(), lower, 1)], at(0)).is_err());
    assert!(reserve(vec![Claim::hold(meter, lower, 1)], at(13 * SECOND)).is_ok());
}

#[test]
fn what_began_before_midnight_counts_for_the_day_before() {
    let limit = Limit::Window { amount: 10, unit: Unit::Day, calendar: Calendar::UTC };
    let meter = Arc::<Meter>::default();
    let day = 86_400 * SECOND;
    let ask = |now| reserve(vec![Claim::hold(meter.clone(), limit, 10)], now);
    let mut before = ask(at(day - SECOND)).unwrap();
    assert_eq!(ask(at(day - SECOND)).unwrap_err().wait_nanos, SECOND);
    let mut after = ask(at(day)).unwrap();
    before.remove(0).settle(10, at(day));
    after.remove(0).settle(4, at(day));
    assert_eq!(meter.used(&limit, at(day)), 4);
    let kept = ask(at(day + SECOND));
    assert!(kept.is_err());
    assert_eq!(meter.used(&limit, at(2 * day)), 0);
}

#[test]
fn made_up_subjects_share_a_meter_and_push_no_debt_out() {
    let (meters, limit) = (Meters::default(), Limit::per_minute(10));
    let debtor = || Subject::of(["debtor"]);
    let claim = |subject| Claim::hold(meters.get(subject, 1000, &limit, at(0)).meter, limit, 10);
    reserve(vec![claim(debtor())], at(0)).unwrap().remove(0).settle(1000, at(0));
    let mut admitted = 0;
    for number in 0..10_000 {
        let name = format!("u{number}");
        if let Ok(mut reserved) = reserve(vec![claim(Subject::of([name.as_str()]))], at(0)) {
            admitted += 1;
            reserved.remove(0).settle(10, at(0));
        }
    }
    assert!(meters.len() <= 1008 && admitted <= 1009, "{} {admitted}", meters.len());
    assert!(reserve(vec![claim(debtor())], at(0)).is_err());
    // once they have drained, there is room again
    for number in 0..2000 {
        let name = format!("v{number}");
        assert!(!meters.get(Subject::of([name.as_str()]), 1000, &limit, at((60 + number) * SECOND)).is_shared);
    }
    assert!(reserve(vec![claim(debtor())], at(2060 * SECOND)).is_err());
}

#[test]
fn the_subject_with_least_left_says_how_much_of_a_limit_is_used() {
    let (meters, limit, now) = (Meters::default(), Limit::per_minute(10), at(0));
    let ratio = || meters.used_ratio(&limit, now);
    assert_eq!(ratio(), 0.0);
    let claim =
        |name: &str, amount| Claim::spend(meters.get(Subject::of([name]), 100, &limit, now).meter, limit, amount);
    let _one = reserve(vec![claim("a", 2)], now).unwrap();
    let _other = reserve(vec![claim("b", 9)], now).unwrap();
    assert!((ratio() - 0.9).abs() < 1e-9, "{}", ratio());
    let _last = reserve(vec![claim("b", 1)], now).unwrap();
    assert_eq!(ratio(), 1.0);
}
