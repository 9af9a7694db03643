//! The state of the upstreams and their servers at a moment, for `/upstreams` and `/metrics`. Changes nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::balance::{Health, Pool, Server, ServerView, State};
use crate::health::LastCheck;
use crate::metrics::{ServerFigures, UpstreamFigures};

/// An upstream.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamSeen {
    /// Its name in the YAML.
    #[serde(serialize_with = "text")]
    name: Arc<str>,
    /// The balancing rule; `null` if the configuration no longer has this upstream.
    balance: Value,
    /// Requests in the queue.
    queued: usize,
    /// Further attempts that the retry budget refused.
    retries_refused: u64,
    /// Entries of `servers` whose names are not resolved.
    unresolved: Vec<String>,
    /// The servers, in the order of the YAML, one for each address. Behind them those that the configuration or the DNS no
    /// longer has and that still have requests in flight.
    servers: Vec<ServerSeen>,
}

/// A server.
#[derive(Clone, Debug, Serialize)]
struct ServerSeen {
    /// Its name in logs and metrics.
    #[serde(serialize_with = "text")]
    server: Arc<str>,
    /// The address as written in the YAML.
    address: String,
    /// The IP address and port.
    resolved: SocketAddr,
    #[serde(skip)]
    id: u64,
    /// The state: `up`, `down`, `unhealthy`, `ejected`, `probing` or `leaving`.
    state: &'static str,
    weight: u32,
    /// Its share of the weight if its name has several addresses; lower after failures and during a slow start.
    effective_weight: f64,
    max_conns: u32,
    backup: bool,
    down: bool,
    in_flight: u64,
    tokens_in_flight: u64,
    choices: u64,
    failures: BTreeMap<&'static str, u64>,
    failures_in_a_row: u32,
    last_error: Option<&'static str>,
    healthy: bool,
    /// Whether it is ejected: from its failures until it answers again.
    ejected: bool,
    /// The end of the ejection (RFC 3339); `null` once it has passed.
    ejected_until: Option<String>,
    ejected_for_ms: Option<u64>,
    /// The last health check; `null` if there was none.
    health_check: Option<CheckSeen>,
}

/// A health check.
#[derive(Clone, Debug, Serialize)]
struct CheckSeen {
    passed: bool,
    status: Option<u16>,
    error: Option<String>,
    took_ms: f64,
    ago_ms: u64,
}

impl UpstreamSeen {
    /// Reads the state of an upstream. `last_check` returns the last health check of a server.
    pub fn look(name: &Arc<str>, pool: &Pool, last_check: impl Fn(&ServerView) -> Option<LastCheck>) -> Self {
        let now = Instant::now();
        let servers = pool.servers();
        Self {
            name: name.clone(),
            balance: serde_json::to_value(pool.rule()).unwrap_or_default(),
            queued: pool.queued(),
            retries_refused: pool.retries_refused(),
            unresolved: pool.unresolved(),
            servers: servers.iter().map(|view| ServerSeen::look(view, last_check(view), now)).collect(),
        }
    }

    /// Adds servers that are not among these but still have requests in flight.
    pub fn add_leaving(seen: &mut Vec<Self>, all: &[Arc<Server>]) {
        for server in all.iter().filter(|server| server.in_flight() > 0) {
            let known = seen.iter().position(|upstream| *upstream.name == *server.upstream());
            let known = known.unwrap_or_else(|| {
                let name = server.upstream().into();
                let (balance, unresolved, servers) = (Value::Null, Vec::new(), Vec::new());
                seen.push(Self { name, balance, queued: 0, retries_refused: 0, unresolved, servers });
                seen.len() - 1
            });
            let servers = &mut seen[known].servers;
            if servers.iter().all(|other| other.id != server.id()) {
                servers.push(ServerSeen::leaving(server, servers));
            }
        }
    }

    /// The metrics of the upstream; `None` if the configuration no longer has it.
    pub fn figures(&self) -> Option<UpstreamFigures> {
        let Self { queued, retries_refused, .. } = *self;
        (!self.balance.is_null()).then(|| UpstreamFigures { upstream: self.name.clone(), queued, retries_refused })
    }

    /// The metrics of its servers. A server that the YAML names twice is one.
    pub fn server_figures(&self) -> impl Iterator<Item = ServerFigures> {
        let servers = self.servers.iter().enumerate();
        let once = servers.filter(|(at, server)| self.servers[..*at].iter().all(|other| other.server != server.server));
        once.map(|(_, server)| server.figures(&self.name))
    }
}

impl ServerSeen {
    fn look(view: &ServerView, last_check: Option<LastCheck>, now: Instant) -> Self {
        let server = &view.server;
        // a server may be unhealthy and ejected
        let ejected = server.ejected_until();
        let until = ejected.and_then(|until| until.checked_duration_since(now));
        Self {
            server: view.label.clone(),
            address: server.address().to_owned(),
            resolved: server.socket(),
            id: server.id(),
            state: view.state.word(),
            weight: view.weight,
            effective_weight: view.effective_weight,
            max_conns: view.max_conns,
            backup: view.backup,
            down: view.state == State::Down,
            in_flight: server.in_flight(),
            tokens_in_flight: server.tokens_in_flight(),
            choices: server.attempts(),
            failures: server.failures().map(|(kind, count)| (kind.word(), count)).collect(),
            failures_in_a_row: server.failures_in_a_row(),
            last_error: server.last_failure().map(|kind| kind.word()),
            healthy: server.health() != Health::Unhealthy,
            ejected: ejected.is_some(),
            ejected_until: until.map(|until| humantime::format_rfc3339_millis(SystemTime::now() + until).to_string()),
            ejected_for_ms: until.map(milliseconds),
            health_check: last_check.map(CheckSeen::from),
        }
    }

    /// A server that takes no more requests, since it is not among `servers`.
    fn leaving(server: &Arc<Server>, servers: &[Self]) -> Self {
        let address = server.address();
        let taken = servers.iter().any(|other| *other.server == *address);
        let label = if taken { format!("{address} ({})", server.socket().ip()) } else { address.to_owned() };
        let view = ServerView {
            server: server.clone(),
            label: label.into(),
            server_index: 0,
            weight: 0,
            shares: 1,
            effective_weight: 0.0,
            max_conns: 0,
            backup: false,
            state: State::Up,
        };
        Self { state: "leaving", ..Self::look(&view, None, Instant::now()) }
    }

    fn figures(&self, upstream: &Arc<str>) -> ServerFigures {
        ServerFigures {
            upstream: upstream.clone(),
            server: self.server.clone(),
            in_flight: self.in_flight,
            healthy: self.healthy,
            ejected: self.ejected,
            attempts: self.choices,
            failures: self.failures.iter().map(|(kind, count)| (*kind, *count)).collect(),
        }
    }
}

impl From<LastCheck> for CheckSeen {
    fn from(check: LastCheck) -> Self {
        Self {
            passed: check.error.is_none(),
            status: check.status,
            error: check.error,
            took_ms: check.took.as_secs_f64() * 1000.0,
            ago_ms: milliseconds(check.at.elapsed()),
        }
    }
}

fn text<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::balance::{Lease, SelectParams, UpstreamRegistry, UpstreamSettings};
    use crate::dns::Resolver;

    use super::*;

    fn pool(settings: Value, registry: &UpstreamRegistry, resolver: &Resolver) -> Pool {
        let settings: UpstreamSettings = serde_json::from_value(settings).unwrap();
        Pool::new("up", &settings, registry, resolver)
    }

    fn look(pool: &Pool, registry: &UpstreamRegistry) -> Vec<UpstreamSeen> {
        let mut seen = vec![UpstreamSeen::look(&"up".into(), pool, |_| None)];
        UpstreamSeen::add_leaving(&mut seen, &registry.servers());
        seen
    }

    fn in_flight(seen: &[UpstreamSeen]) -> Vec<(String, u64)> {
        seen.iter().flat_map(UpstreamSeen::server_figures).map(|one| (one.server.to_string(), one.in_flight)).collect()
    }

    #[test]
    fn an_address_that_leaves_the_dns_is_told_apart_from_the_one_that_stays() {
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        let name = resolver.name("name.test", 1);
        let pool = pool(json!({ "servers": [{ "address": "name.test:1" }] }), &registry, &resolver);
        assert_eq!(serde_json::to_value(look(&pool, &registry)).unwrap()[0]["unresolved"], json!(["name.test:1"]));
        let [here, there] = ["127.0.0.1:1", "127.0.0.2:1"].map(|address| address.parse().unwrap());
        name.set_addresses(vec![here, there]);
        let leases: Vec<Lease> = (0..4).map(|_| pool.lease(&SelectParams::at(Instant::now())).unwrap()).collect();
        let both = [("name.test:1 (127.0.0.1)".to_owned(), 2), ("name.test:1 (127.0.0.2)".to_owned(), 2)];
        assert_eq!(in_flight(&look(&pool, &registry)), both);
        name.set_addresses(vec![here]);
        let seen = look(&pool, &registry);
        assert_eq!(in_flight(&seen), [("name.test:1".to_owned(), 2), ("name.test:1 (127.0.0.2)".to_owned(), 2)]);
        assert_eq!(serde_json::to_value(&seen).unwrap()[0]["servers"][1]["state"], "leaving");
        drop(leases);
        assert_eq!(in_flight(&look(&pool, &registry)), [("name.test:1".to_owned(), 0)]);
    }

    #[test]
    fn a_server_is_ejected_until_a_request_has_told_that_it_answers_again() {
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        let servers = json!([{ "address": "127.0.0.1:1", "fail_timeout": "1ms" }, { "address": "127.0.0.2:1" }]);
        let pool = pool(json!({ "servers": servers }), &registry, &resolver);
        let now = Instant::now();
        let mut lease = pool.lease(&SelectParams::at(now)).unwrap();
        pool.failed(&mut lease, crate::balance::FailureClass::Connect.into(), now);
        drop(lease);
        let later = ServerSeen::look(&pool.servers()[0], None, now + Duration::from_secs(1));
        assert_eq!((later.ejected, later.ejected_for_ms), (true, None));
    }

    #[test]
    fn a_server_that_the_yaml_names_twice_is_one_in_the_metrics() {
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        let servers = json!([{ "address": "127.0.0.1:1" }, { "address": "127.0.0.1:1", "weight": 2 }]);
        let pool = pool(json!({ "servers": servers }), &registry, &resolver);
        let _held = pool.lease(&SelectParams::at(Instant::now())).unwrap();
        let seen = look(&pool, &registry);
        assert_eq!(seen[0].servers.len(), 2);
        assert_eq!(in_flight(&seen), [("127.0.0.1:1".to_owned(), 1)]);
    }
}
