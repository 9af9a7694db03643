//! Chooses a server of an upstream and counts what is in flight on it. Does not connect to it.

mod least_conn;
#[cfg(test)]
mod properties;
mod registry;
mod round_robin;
mod settings;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use registry::Registry;
pub use settings::{
    Algorithm, Attempts, HostHeader, Keepalive, Retry, RetryOn, ServerAddress, ServerSettings, Timeouts, TlsName,
    UpstreamSettings, UpstreamTls, Weight,
};

/// The servers of an upstream, and the rule by which one of them is chosen.
#[derive(Debug)]
pub struct Pool {
    algorithm: Algorithm,
    servers: Vec<Arc<Server>>,
    // choice and count are one step under this lock, so that a burst does not herd onto one server
    turns: Mutex<Vec<Turn>>,
}

/// A server as the whole process knows it. It outlives the configuration that names it: a reload finds the same
/// counts again.
#[derive(Debug)]
pub struct Server {
    address: Arc<str>,
    in_flight: AtomicU64,
}

/// What a rule knows of a server when it chooses.
#[derive(Clone, Copy, Debug)]
struct Turn {
    weight: u32,
    /// Grows by the weight at every choice it takes part in and falls by the sum of all when it wins: smooth weighted
    /// round robin.
    current: i64,
    in_flight: u64,
    tried: bool,
}

impl Pool {
    /// A pool of the servers that the settings name, each with the counts it already has.
    #[must_use]
    pub fn new(upstream: &str, settings: &UpstreamSettings, registry: &Registry) -> Self {
        let servers = settings.servers.iter().map(|server| registry.server(upstream, &server.address)).collect();
        let turns = settings
            .servers
            .iter()
            .map(|server| Turn { weight: server.weight.get(), current: 0, in_flight: 0, tried: false })
            .collect();
        Self { algorithm: settings.balance, servers, turns: Mutex::new(turns) }
    }

    /// Chooses a server that was not tried yet; `None` if none is left. It counts as in flight there until the lease is
    /// dropped.
    pub fn lease(&self, tried: &[usize]) -> Option<Lease> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, (turn, server)) in turns.iter_mut().zip(&self.servers).enumerate() {
            turn.in_flight = server.in_flight();
            turn.tried = tried.contains(&index);
        }
        let index = match self.algorithm {
            Algorithm::LeastConn => least_conn::choose(&mut turns),
            Algorithm::RoundRobin => round_robin::choose(&mut turns),
        }?;
        Some(Lease::new(index, &self.servers[index]))
    }

    /// The servers, in the order of the YAML.
    #[must_use]
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }
}

impl Server {
    /// Its address as the YAML writes it.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Attempts under way on it.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// An attempt in flight on a server, from the choice to the last byte of its answer, whatever ends it.
#[derive(Debug)]
pub struct Lease {
    index: usize,
    server: Arc<Server>,
}

impl Lease {
    fn new(index: usize, server: &Arc<Server>) -> Self {
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { index, server: server.clone() }
    }

    /// Its place in the pool.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights 3, 2 and 1, as in nginx's own example.
    fn pool(algorithm: &str) -> Pool {
        let settings = serde_json::from_value(serde_json::json!({
            "balance": algorithm,
            "servers": [
                { "address": "a:1", "weight": 3 }, { "address": "b:1", "weight": 2 }, { "address": "c:1", "weight": 1 },
            ],
        }));
        Pool::new("test", &settings.unwrap(), &Registry::default())
    }

    fn names(leases: &[Lease]) -> String {
        leases.iter().map(|lease| char::from(b'A' + u8::try_from(lease.index()).unwrap())).collect()
    }

    fn open(pool: &Pool, n: usize) -> Vec<Lease> {
        (0..n).map(|_| pool.lease(&[]).unwrap()).collect()
    }

    #[test]
    fn held_requests_split_by_weight_in_nginx_own_order() {
        let pool = pool("least_conn");
        let mut held = open(&pool, 12);
        assert_eq!(names(&held), "ABCABABCAABA");
        // three of A's and one of C's end; the next four go where there is room
        for (server, ended) in [(0, 3), (2, 1)] {
            for _ in 0..ended {
                let at = held.iter().position(|lease| lease.index() == server).unwrap();
                held.remove(at);
            }
        }
        assert_eq!(names(&open_after(&pool, 4)), "ACAA");
    }

    fn open_after(pool: &Pool, n: usize) -> Vec<Lease> {
        open(pool, n)
    }

    #[test]
    fn one_request_at_a_time_goes_round_by_weight() {
        let pool = pool("least_conn");
        let order: String = (0..12).map(|_| names(&open(&pool, 1))).collect();
        assert_eq!(order, "ABACBAABACBA");
    }

    #[test]
    fn round_robin_is_smooth_whatever_is_in_flight() {
        let pool = pool("round_robin");
        assert_eq!(names(&open(&pool, 12)), "ABACBAABACBA");
    }

    #[test]
    fn a_server_that_was_tried_is_not_tried_again() {
        let pool = pool("least_conn");
        let first = pool.lease(&[]).unwrap();
        let second = pool.lease(&[first.index()]).unwrap();
        let third = pool.lease(&[first.index(), second.index()]).unwrap();
        assert_eq!(names(&[first, second, third]), "ABC");
        assert!(pool.lease(&[0, 1, 2]).is_none());
    }

    #[test]
    fn a_lease_counts_until_it_is_dropped() {
        let pool = pool("least_conn");
        let held = open(&pool, 60);
        let counts = || pool.servers().iter().map(|server| server.in_flight()).collect::<Vec<_>>();
        assert_eq!(counts(), [30, 20, 10]);
        drop(held);
        assert_eq!(counts(), [0, 0, 0]);
    }

    #[test]
    fn a_burst_from_many_threads_splits_as_evenly_as_one_thread_would() {
        let pool = pool("least_conn");
        let held = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&pool, 30))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let count = |server| held.iter().filter(|lease| lease.index() == server).count();
        assert_eq!([count(0), count(1), count(2)], [120, 80, 40]);
    }
}
