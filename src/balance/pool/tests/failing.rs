//! Servers that fail: when they are left out, and how they return.

use super::*;
use crate::balance::ejection::Role;

#[test]
fn a_server_that_fails_is_left_out_and_one_request_at_a_time_asks_whether_it_is_back() {
    let mut bench = Bench::new(json!({}), &[json!({}), json!({})]);
    let first = bench.lease();
    assert_eq!(name(&first), 'A');
    bench.fail(first);
    assert_eq!(bench.states(), ["ejected", "up"]);
    assert_eq!(bench.one_by_one(5), "BBBBB");
    bench.pass(10);
    assert_eq!(bench.states(), ["probing", "up"]);
    // while B has one, A has none: it is the one to ask
    let _held = bench.on(1);
    let probe = bench.lease();
    assert_eq!((name(&probe), names(&bench.open(5)).as_str()), ('A', "BBBBB"), "one only");
    bench.fail(probe);
    bench.pass(19);
    assert_eq!(bench.one_by_one(5), "BBBBB", "twice as long");
    bench.pass(1);
    let mut probe = bench.lease();
    assert_eq!(name(&probe), 'A');
    bench.pool.answered(&mut probe, Duration::ZERO, bench.now);
    assert_eq!(bench.states(), ["up", "up"]);
}

#[test]
fn a_probe_that_tells_nothing_makes_room_for_the_next() {
    let mut bench = Bench::new(json!({}), &[json!({}), json!({})]);
    bench.fail(bench.lease());
    bench.pass(10);
    let _held = bench.open(1);
    for _ in 0..3 {
        let lease = bench.pool.lease(&SelectParams { server_index: Some(0), ..bench.params() });
        assert_eq!(lease.unwrap().role, Role::Probe(1));
    }
}

#[test]
fn a_server_that_returns_while_it_is_asked_can_be_ejected_and_return_again() {
    let mut bench = Bench::new(json!({}), &[json!({}), json!({})]);
    bench.fail(bench.lease());
    bench.pass(10);
    let mut late = bench.on(0);
    // another brings it back, for nobody else is left
    let other = bench.pool.servers()[1].server.clone();
    other.set_health(crate::balance::Health::Unhealthy, "");
    assert_eq!(bench.one_by_one(1), "A");
    other.set_health(crate::balance::Health::Healthy, "");
    assert_eq!(bench.states(), ["up", "up"]);
    assert_eq!(bench.one_by_one(1), "B");
    bench.pool.answered(&mut late, Duration::ZERO, bench.now);
    drop(late);
    bench.fail(bench.on(0));
    assert_eq!(bench.states(), ["ejected", "up"]);
    bench.pass(20);
    let held = bench.on(1);
    assert_eq!(name(&bench.lease()), 'A', "it is asked again");
    drop(held);
}

#[test]
fn what_was_begun_under_an_earlier_ejection_tells_nothing_of_a_later_one() {
    let mut bench = Bench::new(json!({}), &[json!({}), json!({})]);
    bench.fail(bench.lease());
    let other = bench.pool.servers()[1].server.clone();
    other.set_health(crate::balance::Health::Unhealthy, "");
    let mut last_resort = bench.lease();
    bench.pass(10);
    let mut probe = bench.on(0);
    assert_eq!(bench.one_by_one(1), "A");
    other.set_health(crate::balance::Health::Healthy, "");
    bench.fail(bench.on(0));
    assert_eq!(bench.states(), ["ejected", "up"]);
    bench.pool.answered(&mut probe, Duration::ZERO, bench.now);
    bench.pool.answered(&mut last_resort, Duration::ZERO, bench.now);
    assert_eq!(bench.states(), ["ejected", "up"]);
}

#[test]
fn failures_within_the_time_add_up_and_only_so_many_eject() {
    let mut bench = Bench::new(json!({ "balance": "round_robin" }), &[json!({ "max_fails": 3 }), json!({})]);
    let fail_first = |bench: &Bench| bench.fail(bench.on(0));
    for _ in 0..2 {
        fail_first(&bench);
        bench.pass(1);
    }
    assert_eq!(bench.states(), ["up", "up"]);
    bench.pass(11);
    // nginx: a success in the next window forgets them
    let mut lease = bench.on(0);
    bench.pass(1);
    bench.pool.answered(&mut lease, Duration::ZERO, bench.now);
    for _ in 0..2 {
        fail_first(&bench);
    }
    assert_eq!(bench.states(), ["up", "up"]);
    fail_first(&bench);
    assert_eq!(bench.states(), ["ejected", "up"]);
    assert_eq!(bench.pool.servers()[0].server.failures_in_a_row(), 3);
}

#[test]
fn a_failed_server_goes_round_by_less_until_it_has_recovered_as_in_nginx() {
    let servers = [json!({ "weight": 4, "max_fails": 2 }), json!({ "weight": 1 })];
    let bench = Bench::new(json!({ "balance": "round_robin" }), &servers);
    bench.fail(bench.lease());
    // by nginx's arithmetic: 4 less 4/2, then one more at every choice
    assert_eq!(bench.one_by_one(10), "BAAABAAAAB");
}

#[test]
fn a_server_that_is_due_is_no_reason_to_eject_the_last() {
    let mut bench = Bench::new(json!({}), &[json!({ "weight": 3 }), json!({ "weight": 1 })]);
    bench.fail(bench.lease());
    bench.pass(10);
    bench.fail(bench.on(1));
    bench.fail(bench.on(0));
    assert_eq!(bench.states(), ["ejected", "up"]);
}

#[test]
fn two_pools_of_the_same_servers_leave_one_of_them_in_use() {
    for _ in 0..500 {
        let registry = UpstreamRegistry::default();
        let resolver = Resolver::default();
        // as after a reload, while requests of the old configuration still run
        let pools = [(); 2].map(|()| pool(json!({}), &[json!({}), json!({})], &registry, &resolver));
        let now = Instant::now();
        std::thread::scope(|scope| {
            for (server_index, pool) in pools.iter().enumerate() {
                scope.spawn(move || {
                    let mut lease = pool
                        .lease(&SelectParams { server_index: Some(server_index), ..SelectParams::at(now) })
                        .unwrap();
                    pool.failed(&mut lease, FailureClass::Connect.into(), now);
                });
            }
        });
        let up = pools[0].servers().iter().filter(|view| view.state == State::Up).count();
        assert_eq!(up, 1);
    }
}

#[test]
fn the_last_server_that_can_serve_is_never_ejected() {
    let bench = Bench::new(json!({}), &[json!({}), json!({}), json!({ "down": true })]);
    for _ in 0..20 {
        bench.fail(bench.lease());
    }
    assert_eq!(bench.states()[..2], ["ejected", "up"]);
    let only = Bench::new(json!({}), &[json!({})]);
    for _ in 0..20 {
        only.fail(only.lease());
    }
    assert_eq!(only.one_by_one(2), "AA");
}

#[test]
fn a_server_that_is_ejected_serves_where_nobody_else_is_left_and_returns_by_that() {
    let bench = Bench::new(json!({}), &[json!({}), json!({})]);
    bench.fail(bench.lease());
    bench.pool.servers()[1].server.set_health(crate::balance::Health::Unhealthy, "");
    assert_eq!(bench.states(), ["ejected", "unhealthy"]);
    let tried = [u64::MAX];
    assert!(
        bench.pool.lease(&SelectParams { tried: &tried, ..bench.params() }).is_err(),
        "no further attempt is made there"
    );
    assert_eq!(bench.one_by_one(1), "A");
    assert_eq!(bench.states(), ["up", "unhealthy"]);
}

#[test]
fn the_last_resort_has_no_more_than_its_max_conns_either() {
    let bench = Bench::new(json!({}), &[json!({ "max_conns": 1 }), json!({})]);
    bench.fail(bench.on(0));
    bench.pool.servers()[1].server.set_health(crate::balance::Health::Unhealthy, "");
    let held = bench.lease();
    assert_eq!(name(&held), 'A');
    let until = bench.pool.servers()[0].server.ejected_until();
    assert_eq!(bench.pool.lease(&bench.params()).unwrap_err(), SelectError::Full(until), "it is worth waiting for");
    let tried = [u64::MAX];
    let further = bench.pool.lease(&SelectParams { tried: &tried, ..bench.params() });
    assert_eq!(further.unwrap_err(), SelectError::NoServer(until), "a further attempt would not be taken");
    drop(held);
    assert_eq!(name(&bench.lease()), 'A');
}

#[test]
fn a_server_is_left_alone_for_as_long_as_it_asks() {
    let mut bench = Bench::new(json!({}), &[json!({}), json!({})]);
    let mut lease = bench.lease();
    let fault =
        |seconds| ServerFailure { class: FailureClass::Http429, retry_after: Some(Duration::from_secs(seconds)) };
    bench.pool.failed(&mut lease, fault(30), bench.now);
    bench.pass(29);
    assert_eq!(bench.states(), ["ejected", "up"]);
    bench.pass(1);
    let mut probe = bench.on(0);
    bench.pool.failed(&mut probe, fault(100_000), bench.now);
    bench.pass(299);
    assert_eq!(bench.states(), ["ejected", "up"]);
    bench.pass(1);
    assert_eq!(bench.states(), ["probing", "up"], "but no longer than `max_time`");
}

#[test]
fn without_max_fails_nothing_ejects() {
    let bench = Bench::new(json!({}), &[json!({ "max_fails": 0 }), json!({ "max_fails": 0 })]);
    for _ in 0..10 {
        bench.fail(bench.lease());
    }
    assert_eq!(bench.states(), ["up", "up"]);
}

#[test]
fn an_only_server_keeps_its_weight_whatever_fails() {
    let bench = Bench::new(json!({ "balance": "round_robin" }), &[json!({ "weight": 3 })]);
    for _ in 0..5 {
        bench.fail(bench.lease());
    }
    assert_eq!(bench.pool.servers()[0].effective_weight, 3.0);
}
