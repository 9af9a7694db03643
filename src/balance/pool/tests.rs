//! What a pool does, seen from outside: nginx's own sequences, failures, limits, the queue, and names with several
//! addresses.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::*;
use crate::balance::FaultKind;

/// A pool with the registry, the names and the clock of its own.
struct Bench {
    pool: Pool,
    registry: Registry,
    resolver: Resolver,
    now: Instant,
}

impl Bench {
    /// One of `a`, `b`, … for each of these, with its settings.
    fn new(upstream: Value, servers: &[Value]) -> Self {
        let (registry, resolver) = (Registry::default(), Resolver::default());
        let pool = pool(upstream, servers, &registry, &resolver);
        Self { pool, registry, resolver, now: Instant::now() }
    }

    fn ask(&self) -> Ask<'static> {
        Ask::at(self.now)
    }

    fn lease(&self) -> Lease {
        self.pool.lease(&self.ask()).unwrap()
    }

    fn open(&self, n: usize) -> Vec<Lease> {
        (0..n).map(|_| self.lease()).collect()
    }

    /// One at a time, each answered well.
    fn one_by_one(&self, n: usize) -> String {
        (0..n)
            .map(|_| {
                let mut lease = self.lease();
                self.pool.answered(&mut lease, Duration::ZERO, self.now);
                name(&lease)
            })
            .collect()
    }

    fn fail(&self, mut lease: Lease) {
        self.pool.failed(&mut lease, FaultKind::Error.into(), self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn states(&self) -> Vec<&'static str> {
        self.pool.servers().iter().map(|listed| listed.server.state(self.now).word()).collect()
    }
}

fn pool(mut upstream: Value, servers: &[Value], registry: &Registry, resolver: &Resolver) -> Pool {
    let servers: Vec<Value> = servers
        .iter()
        .enumerate()
        .map(|(at, server)| {
            let mut server = server.clone();
            if server.get("address").is_none() {
                server["address"] = format!("127.0.0.{}:1", at + 1).into();
            }
            server
        })
        .collect();
    upstream["servers"] = servers.into();
    Pool::new("test", &serde_json::from_value(upstream).unwrap(), registry, resolver)
}

/// Weights 3, 2 and 1, as in nginx's own example.
fn weighted(balance: &str) -> Bench {
    Bench::new(json!({ "balance": balance }), &[json!({ "weight": 3 }), json!({ "weight": 2 }), json!({ "weight": 1 })])
}

fn name(lease: &Lease) -> char {
    char::from(b'A' + u8::try_from(lease.site()).unwrap())
}

fn names(leases: &[Lease]) -> String {
    leases.iter().map(name).collect()
}

#[test]
fn held_requests_split_by_weight_in_nginx_own_order() {
    let bench = weighted("least_conn");
    let mut held = bench.open(12);
    assert_eq!(names(&held), "ABCABABCAABA");
    // three of A's and one of C's end; the next four go where there is room
    for (server, ended) in [(0, 3), (2, 1)] {
        for _ in 0..ended {
            let at = held.iter().position(|lease| lease.site() == server).unwrap();
            held.remove(at);
        }
    }
    assert_eq!(names(&bench.open(4)), "ACAA");
}

#[test]
fn one_request_at_a_time_goes_round_by_weight() {
    assert_eq!(weighted("least_conn").one_by_one(12), "ABACBAABACBA");
    assert_eq!(weighted("least_tokens").one_by_one(12), "ABACBAABACBA");
}

#[test]
fn round_robin_is_smooth_whatever_is_in_flight() {
    assert_eq!(names(&weighted("round_robin").open(12)), "ABACBAABACBA");
}

#[test]
fn a_server_that_was_tried_is_not_tried_again() {
    let bench = weighted("least_conn");
    let mut tried = Vec::new();
    let mut held = Vec::new();
    while let Ok(lease) = bench.pool.lease(&Ask { tried: &tried, ..bench.ask() }) {
        tried.push(lease.server().id());
        held.push(lease);
    }
    assert_eq!(names(&held), "ABC");
}

#[test]
fn a_lease_counts_until_it_is_dropped() {
    let bench = weighted("least_conn");
    let held = bench.open(60);
    let counts = || bench.pool.servers().iter().map(|listed| listed.server.in_flight()).collect::<Vec<_>>();
    assert_eq!(counts(), [30, 20, 10]);
    drop(held);
    assert_eq!(counts(), [0, 0, 0]);
}

#[test]
fn a_burst_from_many_threads_splits_as_evenly_as_one_thread_would() {
    let bench = weighted("least_conn");
    let held = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.open(30))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let count = |server| held.iter().filter(|lease| lease.site() == server).count();
    assert_eq!([count(0), count(1), count(2)], [120, 80, 40]);
}

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
    let _held = bench.pool.lease(&Ask { site: Some(1), ..bench.ask() }).unwrap();
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
        let site = bench.pool.lease(&Ask { site: Some(0), ..bench.ask() });
        assert_eq!(site.unwrap().role, super::super::ejection::Role::Probe);
    }
}

#[test]
fn failures_within_the_time_add_up_and_only_so_many_eject() {
    let mut bench = Bench::new(json!({ "balance": "round_robin" }), &[json!({ "max_fails": 3 }), json!({})]);
    let fail_first = |bench: &Bench| bench.fail(bench.pool.lease(&Ask { site: Some(0), ..bench.ask() }).unwrap());
    for _ in 0..2 {
        fail_first(&bench);
        bench.pass(1);
    }
    assert_eq!(bench.states(), ["up", "up"]);
    bench.pass(11);
    // nginx: a success in the next window forgets them
    let mut lease = bench.pool.lease(&Ask { site: Some(0), ..bench.ask() }).unwrap();
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
    bench.pool.servers()[1].server.set_health(crate::balance::Health::Unhealthy);
    assert_eq!(bench.states(), ["ejected", "unhealthy"]);
    let tried = [u64::MAX];
    assert!(bench.pool.lease(&Ask { tried: &tried, ..bench.ask() }).is_err(), "no further attempt is made there");
    assert_eq!(bench.one_by_one(1), "A");
    assert_eq!(bench.states(), ["up", "unhealthy"]);
}

#[test]
fn a_server_is_left_alone_for_as_long_as_it_asks() {
    let mut bench = Bench::new(json!({}), &[json!({}), json!({})]);
    let mut lease = bench.lease();
    let fault = |seconds| Fault { kind: FaultKind::Http429, retry_after: Some(Duration::from_secs(seconds)) };
    bench.pool.failed(&mut lease, fault(30), bench.now);
    bench.pass(29);
    assert_eq!(bench.states(), ["ejected", "up"]);
    bench.pass(1);
    let mut probe = bench.pool.lease(&Ask { site: Some(0), ..bench.ask() }).unwrap();
    bench.pool.failed(&mut probe, fault(100_000), bench.now);
    bench.pass(299);
    assert_eq!(bench.states(), ["ejected", "up"]);
    bench.pass(1);
    assert_eq!(bench.states(), ["probing", "up"], "but no longer than `longest`");
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
fn a_backup_serves_only_while_nobody_else_can() {
    let servers = [json!({ "max_conns": 2 }), json!({ "down": true }), json!({ "backup": true })];
    let bench = Bench::new(json!({}), &servers);
    let held = bench.open(5);
    assert_eq!(names(&held), "AACCC");
    drop(held);
    bench.fail(bench.lease());
    assert_eq!(bench.one_by_one(2), "CC");
}

#[test]
fn no_server_has_more_than_its_max_conns() {
    let bench = Bench::new(json!({}), &[json!({ "max_conns": 1, "weight": 9 }), json!({ "max_conns": 2 })]);
    let mut held = bench.open(3);
    assert_eq!(names(&held), "ABB");
    assert_eq!(bench.pool.lease(&bench.ask()).unwrap_err(), Refusal::Full(None));
    held.remove(1);
    assert_eq!(names(&bench.open(1)), "B");
}

#[test]
fn a_server_that_is_added_starts_slowly_and_so_does_one_that_returns() {
    let slow = |address: &str| json!({ "address": address, "slow_start": "10s" });
    let mut bench = Bench::new(json!({}), &[slow("127.0.0.1:1"), slow("127.0.0.2:1")]);
    assert_eq!(names(&bench.open(20)).matches('A').count(), 10, "at the start all are as good");
    let three = [slow("127.0.0.1:1"), slow("127.0.0.2:1"), slow("127.0.0.3:1")];
    let more = pool(json!({}), &three, &bench.registry, &bench.resolver);
    bench.now = Instant::now() + Duration::from_secs(5);
    let before = std::mem::replace(&mut bench.pool, more);
    let held = bench.open(50);
    assert_eq!(names(&held).matches('C').count(), 10, "half its weight after half the time");
    bench.pass(6);
    drop((held, before));
    assert_eq!(names(&bench.open(30)).matches('C').count(), 10);
}

#[test]
fn counts_failures_and_health_survive_a_reload() {
    let bench = Bench::new(json!({}), &[json!({}), json!({}), json!({})]);
    bench.fail(bench.lease());
    let _held = bench.open(1);
    bench.pool.servers()[2].server.set_health(crate::balance::Health::Unhealthy);
    let after =
        pool(json!({ "balance": "round_robin" }), &[json!({}), json!({}), json!({})], &bench.registry, &bench.resolver);
    let seen: Vec<_> = after.servers().iter().map(|listed| (listed.state.word(), listed.server.in_flight())).collect();
    assert_eq!(seen, [("ejected", 0), ("up", 1), ("unhealthy", 0)]);
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

#[test]
fn a_name_with_several_addresses_is_as_many_servers_that_share_its_weight() {
    let servers = [json!({ "address": "proxy:80", "weight": 2 }), json!({ "address": "127.0.0.1:80", "weight": 1 })];
    let bench = Bench::new(json!({}), &servers);
    assert_eq!(bench.one_by_one(2), "BB", "a name that is not known takes nothing");
    let resolved = bench.resolver.name("proxy", 80);
    resolved.found(vec![at(1), at(2), at(3)]);
    let held = bench.open(36);
    let counts = || -> Vec<(String, u64)> {
        let listed = bench.pool.servers();
        listed.iter().map(|listed| (listed.label.to_string(), listed.server.in_flight())).collect()
    };
    let label = |last: u8| format!("proxy:80 (10.0.0.{last})");
    assert_eq!(counts(), [(label(1), 8), (label(2), 8), (label(3), 8), ("127.0.0.1:80".into(), 12)]);

    // one goes, one comes: what is in flight stays counted where it is
    resolved.found(vec![at(2), at(3), at(4)]);
    assert_eq!(counts(), [(label(2), 8), (label(3), 8), (label(4), 0), ("127.0.0.1:80".into(), 12)]);
    let gone = held.iter().find(|lease| lease.server().socket() == at(1)).unwrap().server().clone();
    assert_eq!(gone.in_flight(), 8);
    let new = bench.open(8);
    assert!(new.iter().all(|lease| lease.server().socket() == at(4)));
    resolved.found(vec![at(1), at(4)]);
    assert_eq!(counts()[..2], [(label(1), 8), (label(4), 8)], "it is the same when it comes back");
    drop((held, new));
    assert_eq!(gone.in_flight(), 0);
    resolved.found(vec![at(9)]);
    assert_eq!(counts()[0], ("proxy:80".into(), 0), "an only address needs no telling apart");
}

#[tokio::test]
async fn those_who_wait_are_served_in_the_order_they_came() {
    let settings = json!({ "queue": { "size": 2, "timeout": "5s" } });
    let bench = Bench::new(settings, &[json!({ "max_conns": 1 })]);
    let held = bench.lease();
    let full = Refusal::Full(None);
    let ask = bench.ask();
    assert_eq!(bench.pool.lease(&ask).unwrap_err(), full);
    let mut first = Box::pin(bench.pool.wait(&ask, full));
    let mut second = Box::pin(bench.pool.wait(&ask, full));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    assert_eq!(bench.pool.queued(), 2);
    assert_eq!(bench.pool.wait(&ask, full).await.unwrap_err(), Refusal::QueueFull);
    drop(held);
    assert_eq!(bench.pool.lease(&ask).unwrap_err(), full, "nobody overtakes them");
    assert!(futures_util::poll!(&mut second).is_pending());
    let lease = first.await.unwrap();
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(lease);
    drop(second.await.unwrap());
    assert_eq!(bench.pool.queued(), 0);
}

#[tokio::test]
async fn one_who_leaves_the_queue_makes_way() {
    let settings = json!({ "queue": { "size": 2, "timeout": "5s" } });
    let bench = Bench::new(settings, &[json!({ "max_conns": 1 })]);
    let (held, ask, full) = (bench.lease(), bench.ask(), Refusal::Full(None));
    let mut first = Box::pin(bench.pool.wait(&ask, full));
    let mut second = Box::pin(bench.pool.wait(&ask, full));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
    drop(held); // the first is woken, and leaves before it has looked
    drop(first);
    drop(second.await.unwrap());
    assert_eq!(bench.pool.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_too_long_is_refused() {
    let settings = json!({ "queue": { "size": 1, "timeout": "5s" } });
    let bench = Bench::new(settings, &[json!({ "max_conns": 1 })]);
    let _held = bench.lease();
    assert_eq!(bench.pool.wait(&bench.ask(), Refusal::Full(None)).await.unwrap_err(), Refusal::QueueLate);
    assert_eq!(bench.pool.queued(), 0);
}
