//! Single stories, each with what comes of it.

use std::sync::Arc;

use super::HOUR;
use super::world::{Step, Way, World, at};
use crate::lease::*;
use crate::limit::{Limit, SECOND};
use crate::meter::Meter;
use crate::{Calendar, Claim, Unit, reserve};

fn world(limit: Limit) -> World {
    World::new(limit, true)
}

#[test]
fn a_steady_flow_asks_seldom_and_what_is_left_in_the_end_is_used_to_the_last_one() {
    let limit = Limit::Window { amount: 20_000, unit: Unit::Day, calendar: Calendar::UTC };
    let mut world = world(limit);
    let mut admitted = 0;
    let mut drawn = 0;
    // 200 calls a second on three gateways
    for call in 0..18_000 {
        world.time += SECOND / 200;
        let gateway = call % 3;
        let (before, now) = (world.count.draws, at(world.time));
        admitted += u64::from(world.ask(gateway, 1, Way::Good));
        if world.gateways[gateway].open.pop().is_some_and(|(one, _)| one.is_low()) || call % 50 == 0 {
            world.step(Step::Look(gateway, Way::Good));
            if world.gateways[gateway].meter.due(&limit, now) != Due::Report {
                world.draw(gateway, 0, Way::Good);
            }
        }
        drawn += world.count.draws - before;
    }
    assert_eq!(admitted, 18_000);
    assert!(drawn * 20 < 18_000, "{drawn}");
    // one gateway alone gets all that is left, once the others have given back theirs
    let mut refused = 0;
    while refused < 100 {
        world.time += SECOND / 10;
        if world.ask(0, 1, Way::Good) {
            admitted += 1;
        } else {
            refused += 1;
        }
        (0..3).for_each(|gateway| world.step(Step::Look(gateway, Way::Good)));
    }
    assert_eq!(admitted, 20_000);
}

#[test]
fn a_refusal_says_how_long_to_wait_and_holds_for_a_moment() {
    let limit = Limit::per_second(10, 10);
    let mut world = world(limit);
    assert!(world.ask(0, 10, Way::Good));
    let meter = world.gateways[1].meter.clone();
    let draw = meter.draw(&limit, 4, 0, at(world.time)).unwrap();
    world.step(Step::Look(0, Way::Good));
    world.draw(0, 0, Way::Good);
    let grant = world.count.draw(2, &draw, &limit, world.time / 1000).unwrap();
    assert!(!grant.is_granted);
    meter.granted(&limit, &draw, &grant, at(world.time));
    let (wait, standing) = meter.refused(&limit, 4, &grant, SECOND / 50, at(world.time));
    assert_eq!((wait, standing.remaining, standing.limit), (4 * SECOND / 10, 0, 10));
    assert!(matches!(meter.fit(&limit, 5, at(world.time)), Fit::Refused { .. }));
    assert_eq!(meter.fit(&limit, 3, at(world.time)), Fit::Ask);
    assert_eq!(meter.fit(&limit, 5, at(world.time + SECOND / 50)), Fit::Ask);
}

#[test]
fn while_nobody_answers_a_gateway_has_its_lease_and_its_part_of_what_was_left() {
    let day = Limit::Window { amount: 300, unit: Unit::Day, calendar: Calendar::UTC };
    for (on_silence, most) in [(OnSilence::Local, 100), (OnSilence::Refuse, 0), (OnSilence::Allow, 1000)] {
        let meter = Arc::new(Meter::leased());
        meter.unanswered(&day, on_silence, 3, at(SECOND));
        let admitted = (0..1000).filter(|_| reserve(vec![Claim::spend(meter.clone(), day, 1)], at(SECOND)).is_ok());
        assert_eq!(admitted.count(), most, "{on_silence:?}");
        // the next day begins anew
        let later = at(25 * HOUR);
        let admitted = (0..1000).filter(|_| reserve(vec![Claim::spend(meter.clone(), day, 1)], later).is_ok());
        assert_eq!(admitted.count(), most, "{on_silence:?}");
    }
    // of a bucket its part drains
    let (second, meter) = (Limit::per_second(30, 60), Arc::new(Meter::leased()));
    meter.unanswered(&second, OnSilence::Local, 3, at(0));
    let admitted = |time| {
        let admitted = (0..100).filter(|_| reserve(vec![Claim::spend(meter.clone(), second, 1)], at(time)).is_ok());
        admitted.count()
    };
    assert_eq!([admitted(0), admitted(0), admitted(SECOND), admitted(10 * SECOND)], [20, 0, 10, 20]);
    let refused = reserve(vec![Claim::spend(meter.clone(), second, 1)], at(10 * SECOND)).unwrap_err();
    assert_eq!(refused.wait_nanos, SECOND / 10);
}

#[test]
fn what_was_used_in_the_silence_is_counted_once_it_ends() {
    let day = Limit::Window { amount: 300, unit: Unit::Day, calendar: Calendar::UTC };
    let mut world = world(day);
    assert!(world.ask(0, 10, Way::Good));
    // the answer is lost, and then no request arrives for long
    world.draw(0, 0, Way::AnswerLost);
    let meter = world.gateways[0].meter.clone();
    meter.unanswered(&day, OnSilence::Local, 3, at(world.time));
    world.time += 30 * SECOND;
    world.draw(0, 0, Way::RequestLost);
    world.gateways[0].meter = meter;
    world.draw(0, 0, Way::Good);
    assert_eq!(world.count.used(), 10);
}

#[test]
fn what_began_and_was_reported_is_given_back_where_it_was_not_used_after_all() {
    let day = Limit::Window { amount: 300, unit: Unit::Day, calendar: Calendar::UTC };
    let mut world = world(day);
    assert!(world.ask(0, 10, Way::Good) && world.ask(0, 7, Way::Good));
    world.draw(0, 0, Way::Good);
    assert_eq!(world.count.used(), 17);
    world.gateways[0].open.remove(0).0.settle(0, at(world.time));
    world.draw(0, 0, Way::Good);
    assert_eq!(world.count.used(), 7);
}
