//! Host names of servers and their addresses, resolved in the background. No request waits for DNS.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use log::{info, warn};
use plugin_api::LogLimit;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Interval between lookups of a resolved name. The system's resolver does not report the TTL.
const REFRESH: Duration = Duration::from_secs(30);
/// Interval between lookups of a name without an address.
const RETRY_UNKNOWN: Duration = Duration::from_secs(2);
/// Time limit of one lookup. The old addresses stay in use meanwhile.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The names in use, keyed by host and port, so that a reload keeps the addresses of the names it keeps.
#[derive(Debug, Default)]
pub struct Resolver {
    names: Mutex<HashMap<(String, u16), Weak<ResolvedName>>>,
    requested: Notify,
    shared: Shared,
}

/// What the resolver shares with its names.
#[derive(Clone, Debug, Default)]
struct Shared {
    /// Incremented at every change of addresses, for readers that cannot wait.
    changes: Arc<AtomicU64>,
    /// Signals changed addresses, finished first lookups and dropped names, for those that wait.
    events: Arc<watch::Sender<()>>,
}

/// A host and port with its last known addresses.
#[derive(Debug)]
pub struct ResolvedName {
    host: String,
    port: u16,
    addresses: ArcSwap<Vec<SocketAddr>>,
    shared: Shared,
    /// Held during a lookup, so that only one runs at a time.
    lookup_lock: tokio::sync::Mutex<()>,
    /// Whether a lookup has finished, successfully or not.
    looked_up: AtomicBool,
    /// Limits log lines about failed lookups, by error kind; `None` stands for a timeout.
    failures: LogLimit<Option<std::io::ErrorKind>>,
}

impl Resolver {
    /// The name for this host and port: the one in use, or a new one with a lookup requested.
    /// An IP address needs no lookup.
    pub fn name(&self, host: &str, port: u16) -> Arc<ResolvedName> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, name| name.strong_count() > 0);
        let known = names.entry((host.to_owned(), port)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let addresses = host.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
            let addresses = ArcSwap::from_pointee(addresses);
            let name = Arc::new(ResolvedName {
                host: host.to_owned(),
                port,
                addresses,
                shared: self.shared.clone(),
                lookup_lock: Default::default(),
                looked_up: AtomicBool::new(false),
                failures: LogLimit::new(),
            });
            *known = Arc::downgrade(&name);
            self.requested.notify_one();
            name
        })
    }

    /// A counter that is incremented whenever the addresses of any name change. A reader that has seen its value need not
    /// look at the names again.
    #[must_use]
    pub fn changes(&self) -> Arc<AtomicU64> {
        self.shared.changes.clone()
    }

    /// Signals every change of addresses and every first lookup that finishes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.shared.events.subscribe()
    }

    /// Keeps the addresses fresh until the future is dropped.
    pub async fn run(&self) {
        let mut last_full = Instant::now();
        // one task per lookup: a slow name delays no other
        let mut lookups = JoinSet::new();
        loop {
            let full = last_full.elapsed() >= REFRESH;
            if full {
                last_full = Instant::now();
            }
            let mut pause = REFRESH.saturating_sub(last_full.elapsed());
            for name in self.in_use() {
                let unknown = name.addresses().is_empty();
                if unknown {
                    pause = pause.min(RETRY_UNKNOWN);
                }
                if full || unknown {
                    lookups.spawn(async move { name.look_up().await });
                }
            }
            while lookups.try_join_next().is_some() {}
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.requested.notified() => {}
            }
        }
    }

    /// Whether the first lookup of every name has finished, successfully or not.
    #[must_use]
    pub fn first_lookups_done(&self) -> bool {
        self.in_use().iter().all(|name| name.first_lookup_done())
    }

    /// The names whose first lookup has not finished, in order.
    #[must_use]
    pub fn first_lookups_to_do(&self) -> Vec<String> {
        let unknown = self.in_use().into_iter().filter(|name| !name.first_lookup_done());
        let mut names: Vec<String> = unknown.map(|name| format!("{}:{}", name.host, name.port)).collect();
        names.sort_unstable();
        names
    }

    /// Waits until the first lookup of every name has finished, at most for `limit`. Names that are unknown by then are
    /// looked up further; their servers are skipped meanwhile.
    pub async fn wait_for_first_lookups(&self, limit: Duration) {
        let mut events = self.subscribe();
        // not `wait_for`, which would hold the channel's lock while a name may be dropped
        let done = async { while !self.first_lookups_done() && events.changed().await.is_ok() {} };
        let _ = timeout(limit, done).await;
    }

    fn in_use(&self) -> Vec<Arc<ResolvedName>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().filter_map(Weak::upgrade).filter(|name| name.host.parse::<IpAddr>().is_err()).collect()
    }
}

impl ResolvedName {
    /// The addresses in ascending order; empty while the name is unknown.
    #[must_use]
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Stores the result of a lookup. An empty one changes nothing.
    pub(crate) fn set_addresses(&self, mut addresses: Vec<SocketAddr>) {
        addresses.sort_unstable();
        addresses.dedup();
        if !addresses.is_empty() && **self.addresses.load() != addresses {
            info!(host = self.host, addresses = addresses.len(); "server name resolved");
            self.addresses.store(Arc::new(addresses));
            self.shared.changes.fetch_add(1, Ordering::Release);
            self.shared.events.send_replace(());
        }
    }

    fn first_lookup_done(&self) -> bool {
        self.looked_up.load(Ordering::Acquire) || !self.addresses().is_empty()
    }

    async fn look_up(&self) {
        let Ok(_lock) = self.lookup_lock.try_lock() else { return };
        let host = self.host.as_str();
        match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, self.port))).await {
            Ok(Ok(found)) => self.set_addresses(found.collect()),
            // the last known addresses stay in use
            Ok(Err(error)) => {
                if let Some(suppressed) = self.failures.pass(Some(error.kind())) {
                    warn!(host, error:%, suppressed; "server name not resolved; check the name and the DNS");
                }
            }
            Err(_) => {
                if let Some(suppressed) = self.failures.pass(None) {
                    warn!(host, suppressed; "DNS does not answer; the last known addresses stay in use");
                }
            }
        }
        if !self.looked_up.swap(true, Ordering::AcqRel) {
            self.shared.events.send_replace(());
        }
    }
}

impl Drop for ResolvedName {
    fn drop(&mut self) {
        // its lookup may have been the last one to wait for
        self.shared.events.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ip_address_needs_no_lookup() {
        let resolver = Resolver::default();
        assert_eq!(resolver.name("127.0.0.1", 80).addresses().as_slice(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(resolver.name("::1", 80).addresses().as_slice(), ["[::1]:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_is_found_in_the_background() {
        let resolver = Arc::new(Resolver::default());
        let name = resolver.name("localhost", 80);
        assert!(name.addresses().is_empty(), "nobody waits for it");
        let running = tokio::spawn({
            let resolver = resolver.clone();
            async move { resolver.run().await }
        });
        resolver.wait_for_first_lookups(Duration::from_secs(10)).await;
        assert!(name.addresses().iter().all(|address| address.ip().is_loopback()));
        running.abort();
    }

    #[tokio::test]
    async fn a_name_that_takes_long_holds_up_no_other_and_one_without_address_nobody() {
        let resolver = Arc::new(Resolver::default());
        let slow = resolver.name("slow.test", 80);
        // as if its look-up were under way
        let under_way = slow.lookup_lock.lock().await;
        let running = tokio::spawn({
            let resolver = resolver.clone();
            async move { resolver.run().await }
        });
        tokio::task::yield_now().await;
        let names = [resolver.name("localhost", 80), resolver.name("a name that is none", 80)];
        let mut events = resolver.subscribe();
        let done = events.wait_for(|()| names.iter().all(|name| name.first_lookup_done()));
        timeout(Duration::from_secs(10), done).await.unwrap().unwrap();
        assert!(!names[0].addresses().is_empty() && names[1].addresses().is_empty());
        resolver.wait_for_first_lookups(Duration::from_millis(1)).await;
        assert!(!slow.first_lookup_done(), "waited for it no longer than asked to");
        drop(under_way);
        running.abort();
    }

    #[test]
    fn a_change_of_addresses_is_counted_and_an_answer_in_another_order_is_none() {
        let resolver = Resolver::default();
        let (name, changes) = (resolver.name("proxy", 80), resolver.changes());
        let at = |last: u8| SocketAddr::from(([10, 0, 0, last], 80));
        let mut counted = Vec::new();
        for found in [vec![at(2), at(1)], vec![at(1), at(2), at(2)], vec![], vec![at(1)]] {
            name.set_addresses(found);
            counted.push(changes.load(Ordering::Acquire));
        }
        assert_eq!((counted.as_slice(), name.addresses().as_slice()), (&[1, 1, 1, 2][..], &[at(1)][..]));
    }
}
