//! Checks of servers that come and go, over real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::balance::{Pool, UpstreamRegistry, UpstreamSettings};
use crate::dns::Resolver;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Accepts at this address, and counts how often.
async fn listen(address: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let count = count.clone();
        async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (address, count)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// An upstream and what is known of its servers.
struct Upstream {
    registry: UpstreamRegistry,
    resolver: Resolver,
    pool: Pool,
    check: Option<Arc<Check>>,
}

impl Upstream {
    fn new(settings: serde_json::Value) -> Self {
        let settings: UpstreamSettings = serde_json::from_value(settings).unwrap();
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        let pool = Pool::new("test", &settings, &registry, &resolver);
        let check = Check::new(&settings, Path::new("")).unwrap().map(Arc::new);
        Self { registry, resolver, pool, check }
    }

    fn targets(&self) -> Vec<CheckTarget> {
        let view = self.pool.servers().into_iter();
        view.map(|view| CheckTarget { server: view.server, server_index: view.server_index, check: self.check.clone() })
            .collect()
    }

    fn health(&self) -> Vec<Health> {
        self.pool.servers().iter().map(|view| view.server.health()).collect()
    }
}

#[tokio::test]
async fn servers_come_and_go_with_the_addresses_of_their_name() {
    let (here, seen_here) = listen("127.0.0.1:0".parse().unwrap()).await;
    let (there, seen_there) = listen(SocketAddr::from(([127, 0, 0, 2], here.port()))).await;
    let nobody = SocketAddr::from(([127, 0, 0, 3], here.port()));
    let upstream = Arc::new(Upstream::new(json!({
        "servers": [{ "address": format!("name.test:{}", here.port()) }],
        "health_check": { "type": "tcp", "interval": "10ms", "jitter": "0s", "unhealthy": 1 },
    })));
    let checks = Arc::new(Checks::default());
    tokio::spawn({
        let (checks, upstream) = (checks.clone(), upstream.clone());
        async move { checks.run(upstream.resolver.subscribe(), || upstream.targets()).await }
    });
    let name = upstream.resolver.name("name.test", here.port());
    name.set_addresses(vec![here, there, nobody]);
    let of = |found: &[Health]| upstream.health() == found;
    until("all three checked", || of(&[Health::Healthy, Health::Healthy, Health::Unhealthy])).await;
    assert!(upstream.pool.servers().iter().all(|view| checks.last(&view.server).is_some()));

    let gone = upstream.pool.servers().remove(1).server;
    name.set_addresses(vec![here]);
    until("one that is forgotten", || gone.health() == Health::Unknown).await;
    assert!(checks.last(&gone).is_none());
    // whatever was under way has arrived by now or never will
    let (before, here_before) = (seen_there.load(Ordering::Relaxed), seen_here.load(Ordering::Relaxed));
    until("more checks of the other", || seen_here.load(Ordering::Relaxed) > here_before + 5).await;
    assert!(seen_there.load(Ordering::Relaxed) <= before + 1);
    assert!(of(&[Health::Healthy]));
}

#[tokio::test]
async fn a_new_server_may_have_to_wait_for_its_first_check() {
    let (here, _) = listen("127.0.0.1:0".parse().unwrap()).await;
    let server = json!([{ "address": here.to_string() }]);
    let check = json!({ "type": "tcp", "initial": "unhealthy", "jitter": "0s", "healthy": 9 });
    let upstream = Upstream::new(json!({ "servers": server, "health_check": check }));
    assert_eq!(upstream.health(), [Health::Unhealthy]);
    let checks = Checks::default();
    checks.set(upstream.targets());
    until("its first check", || upstream.health() == [Health::Healthy]).await;

    // one that takes requests already need not wait when it gets a check
    let settings = |check| serde_json::from_value(json!({ "servers": server, "health_check": check })).unwrap();
    let other = Pool::new("other", &settings(json!(null)), &upstream.registry, &upstream.resolver);
    let again = Pool::new("other", &settings(check.clone()), &upstream.registry, &upstream.resolver);
    assert_eq!(again.servers()[0].server.id(), other.servers()[0].server.id());
    assert_eq!(again.servers()[0].server.health(), Health::Unknown);
}

#[tokio::test]
async fn a_server_that_nobody_checks_does_not_wait_for_a_check() {
    let mut upstream = Upstream::new(json!({
        "servers": [{ "address": "127.0.0.1:1" }], "health_check": { "type": "tcp", "initial": "unhealthy" },
    }));
    assert_eq!(upstream.health(), [Health::Unhealthy]);
    upstream.check = None;
    Checks::default().set(upstream.targets());
    assert_eq!(upstream.health(), [Health::Unknown]);
}

#[tokio::test]
async fn checks_that_are_dropped_leave_nothing_behind() {
    let (here, seen) = listen("127.0.0.1:0".parse().unwrap()).await;
    let upstream = Upstream::new(json!({
        "servers": [{ "address": here.to_string() }, { "address": here.to_string() }],
        "health_check": { "type": "tcp", "interval": "10ms", "jitter": "0s" },
    }));
    let checks = Checks::default();
    checks.set(upstream.targets());
    assert_eq!(checks.running().len(), 1, "a server that is named twice is checked once");
    until("a check", || upstream.health()[0] == Health::Healthy).await;
    drop(checks);
    assert_eq!(upstream.health()[0], Health::Unknown);
    sleep(Duration::from_millis(50)).await;
    let before = seen.load(Ordering::Relaxed);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(seen.load(Ordering::Relaxed), before);
}
