//! Calls that claim several meters: all or none of them, whichever refuses, and whichever comes first.

use super::*;

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "two claims of one call are on one meter")]
fn a_call_that_claims_one_meter_twice_is_noticed_and_does_not_wait_for_itself() {
    let (meter, limit) = (Arc::<Meter>::default(), Limit::Concurrent { amount: 2 });
    let claims = (0..2).map(|_| Claim::hold(meter.clone(), limit, 1)).collect();
    let _ = reserve(claims, at(0));
}

#[test]
fn four_thousand_calls_of_eight_threads_admit_exactly_the_limit() {
    let limit = Limit::Rate { amount: 1, period: 3600 * SECOND, capacity: 100 };
    let (meters, day) = (Meters::default(), Meters::default());
    let daily = Limit::Window { amount: 1000, unit: Unit::Day, calendar: Calendar::UTC };
    let admitted: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (meters, day) = (&meters, &day);
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for _ in 0..500 {
                        let own = Claim::hold(meters.get(Subject::ALL, 10, &limit, at(0)).meter, limit, 1);
                        let all = Claim::hold(day.get(Subject::ALL, 10, &daily, at(0)).meter, daily, 1);
                        // in either order
                        let claims = if thread % 2 == 0 { vec![own, all] } else { vec![all, own] };
                        kept.extend(reserve(claims, at(0)));
                    }
                    kept
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(admitted.len(), 100);
    drop(admitted);
    for (meters, limit) in [(&meters, &limit), (&day, &daily)] {
        let meter = meters.get(Subject::ALL, 10, limit, at(0)).meter;
        assert_eq!((meter.held(), meter.used(limit, at(0))), (0, 0));
    }
}

#[test]
fn when_the_third_of_three_refuses_the_first_two_are_as_before() {
    let limits = [Limit::per_second(10, 10), Limit::per_minute(100), Limit::Concurrent { amount: 1 }];
    let meters: Vec<_> = limits.iter().map(|_| Arc::<Meter>::default()).collect();
    let claims = || {
        let claims = meters.iter().zip(limits).map(|(meter, limit)| Claim::hold(meter.clone(), limit, 1));
        claims.collect::<Vec<_>>()
    };
    let first = reserve(claims(), at(0)).unwrap();
    for _ in 0..50 {
        let refused = reserve(claims(), at(0)).unwrap_err();
        assert_eq!((refused.claim, refused.standing.remaining), (2, 0));
    }
    assert_eq!(meters.iter().map(|meter| meter.held()).collect::<Vec<_>>(), [1, 1, 1]);
    drop(first);
    assert_eq!(meters.iter().map(|meter| meter.held()).collect::<Vec<_>>(), [0, 0, 0]);
    assert!(reserve(claims(), at(0)).is_ok());
}

#[test]
fn claims_in_any_order_are_reserved_in_that_order_and_refused_by_their_place_in_it() {
    let meters: Vec<_> = (0..4).map(|_| Arc::<Meter>::default()).collect();
    let limit = Limit::Concurrent { amount: 10 };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let claim = |at: usize, amount| Claim::hold(meters[at].clone(), limit, amount);
        let claims = || order.map(|at| claim(at, at as u64 + 1)).to_vec();
        let reserved = reserve(claims(), at(0)).unwrap();
        assert_eq!(reserved.iter().map(Reservation::amount).collect::<Vec<_>>(), order.map(|at| at as u64 + 1));
        assert_eq!(meters.iter().map(|meter| meter.held()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let full = reserve(vec![claim(3, 6)], at(0)).unwrap();
        let refused = reserve(claims(), at(0)).unwrap_err();
        assert_eq!(order[refused.claim], 3);
        drop((full, reserved));
    }
    assert!(meters.iter().all(|meter| meter.held() == 0));
}

#[test]
fn the_longest_wait_is_told_whichever_limit_stands_first() {
    let (short, long) =
        (Limit::per_second(1, 1), Limit::Window { amount: 1, unit: Unit::Day, calendar: Calendar::UTC });
    let meters = [Arc::<Meter>::default(), Arc::<Meter>::default()];
    for order in [[0, 1], [1, 0]] {
        let claims = || {
            let both = order.map(|at| Claim::spend(meters[at].clone(), [short, long][at], 1));
            Vec::from(both)
        };
        let _ = reserve(claims(), at(3600 * SECOND));
        let refused = reserve(claims(), at(3600 * SECOND)).unwrap_err();
        assert_eq!((order[refused.claim], refused.wait_nanos), (1, 23 * 3600 * SECOND));
    }
}

#[test]
fn of_equal_waits_the_first_in_the_list_is_told_whichever_meter_is_older() {
    // the last day of a month ends with the month
    let last_day = Now { nanos: 0, unix: 30 * 86_400 };
    let windows = [Unit::Month, Unit::Day].map(|unit| Limit::Window { amount: 1, unit, calendar: Calendar::UTC });
    for limits in [[Limit::Concurrent { amount: 1 }; 2], windows] {
        let meters = [Arc::<Meter>::default(), Arc::<Meter>::default()];
        let claims = |order: [usize; 2]| order.map(|at| Claim::spend(meters[at].clone(), limits[at], 1)).to_vec();
        let _ = reserve(claims([0, 1]), last_day);
        for order in [[0, 1], [1, 0]] {
            assert_eq!(reserve(claims(order), last_day).unwrap_err().claim, 0, "{order:?}");
        }
    }
}
