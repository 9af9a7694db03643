//! What a pool does, seen from outside: nginx's own sequences, failures, limits, the queue, and names with several
//! addresses.

mod failing;
mod waiting;

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::*;
use crate::balance::FailureClass;

/// A pool with the registry, the names and the clock of its own.
struct Bench {
    pool: Pool,
    registry: UpstreamRegistry,
    resolver: Resolver,
    now: Instant,
}

impl Bench {
    /// One of `a`, `b`, … for each of these, with its settings.
    fn new(upstream: Value, servers: &[Value]) -> Self {
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        let pool = pool(upstream, servers, &registry, &resolver);
        Self { pool, registry, resolver, now: Instant::now() }
    }

    fn params(&self) -> SelectParams<'static> {
        SelectParams::at(self.now)
    }

    fn lease(&self) -> Lease {
        self.pool.lease(&self.params()).unwrap()
    }

    /// A lease of a server by its place.
    fn on(&self, server_index: usize) -> Lease {
        self.pool.lease(&SelectParams { server_index: Some(server_index), ..self.params() }).unwrap()
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
        self.pool.failed(&mut lease, FailureClass::Error.into(), self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn states(&self) -> Vec<&'static str> {
        self.pool.servers().iter().map(|view| view.server.state(self.now).word()).collect()
    }
}

fn pool(mut upstream: Value, servers: &[Value], registry: &UpstreamRegistry, resolver: &Resolver) -> Pool {
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
    char::from(b'A' + u8::try_from(lease.server_index()).unwrap())
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
            let at = held.iter().position(|lease| lease.server_index() == server).unwrap();
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
    while let Ok(lease) = bench.pool.lease(&SelectParams { tried: &tried, ..bench.params() }) {
        tried.push(lease.server().id());
        held.push(lease);
    }
    assert_eq!(names(&held), "ABC");
}

#[test]
fn a_lease_counts_until_it_is_dropped() {
    let bench = weighted("least_conn");
    let held = bench.open(60);
    let counts = || bench.pool.servers().iter().map(|view| view.server.in_flight()).collect::<Vec<_>>();
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
    let count = |server| held.iter().filter(|lease| lease.server_index() == server).count();
    assert_eq!([count(0), count(1), count(2)], [120, 80, 40]);
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
    assert_eq!(bench.pool.lease(&bench.params()).unwrap_err(), SelectError::Full(None));
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
    bench.pool.servers()[2].server.set_health(crate::balance::Health::Unhealthy, "");
    let after =
        pool(json!({ "balance": "round_robin" }), &[json!({}), json!({}), json!({})], &bench.registry, &bench.resolver);
    let seen: Vec<_> = after.servers().iter().map(|view| (view.state.word(), view.server.in_flight())).collect();
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
    resolved.set_addresses(vec![at(1), at(2), at(3)]);
    let held = bench.open(36);
    let counts = || -> Vec<(String, u64)> {
        let view = bench.pool.servers();
        view.iter().map(|view| (view.label.to_string(), view.server.in_flight())).collect()
    };
    let label = |last: u8| format!("proxy:80 (10.0.0.{last})");
    assert_eq!(counts(), [(label(1), 8), (label(2), 8), (label(3), 8), ("127.0.0.1:80".into(), 12)]);

    // one goes, one comes: what is in flight stays counted where it is
    resolved.set_addresses(vec![at(2), at(3), at(4)]);
    assert_eq!(counts(), [(label(2), 8), (label(3), 8), (label(4), 0), ("127.0.0.1:80".into(), 12)]);
    let gone = held.iter().find(|lease| lease.server().socket() == at(1)).unwrap().server().clone();
    assert_eq!(gone.in_flight(), 8);
    let new = bench.open(8);
    assert!(new.iter().all(|lease| lease.server().socket() == at(4)));
    resolved.set_addresses(vec![at(1), at(4)]);
    assert_eq!(counts()[..2], [(label(1), 8), (label(4), 8)], "it is the same when it comes back");
    drop((held, new));
    assert_eq!(gone.in_flight(), 0);
    resolved.set_addresses(vec![at(9)]);
    assert_eq!(counts()[0], ("proxy:80".into(), 0), "an only address needs no telling apart");
}
