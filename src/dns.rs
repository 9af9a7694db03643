//! Names of servers and their addresses, looked up in the background: no request ever waits for DNS.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use log::{info, warn};
use plugin_api::LogLimit;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How often a name is looked up again. The system's resolver does not tell how long an answer holds.
const REFRESH: Duration = Duration::from_secs(30);
/// How often a name is tried that has no address yet.
const RETRY_UNKNOWN: Duration = Duration::from_secs(2);
/// How long one look-up may take; the old addresses serve meanwhile.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// The names in use, by identity: a reload finds the addresses it had.
#[derive(Debug, Default)]
pub struct Resolver {
    names: Mutex<HashMap<(String, u16), Weak<ResolvedName>>>,
    requested: Notify,
    changes: Arc<AtomicU64>,
}

/// A host and port, and the addresses it was last found at.
#[derive(Debug)]
pub struct ResolvedName {
    host: String,
    port: u16,
    addresses: ArcSwap<Vec<SocketAddr>>,
    changes: Arc<AtomicU64>,
    /// Held by the look-up under way, so that there is one at a time.
    lookup_lock: tokio::sync::Mutex<()>,
    /// Whether a look-up has ended, however it went.
    looked_up: AtomicBool,
    /// What is written of look-ups in vain, by the kind of their error; `None` where nobody answers.
    failures: LogLimit<Option<std::io::ErrorKind>>,
}

impl Resolver {
    /// The name for this host and port: the one in use, or a new one that is looked up soon.
    /// An IP address is its own answer.
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
                changes: self.changes.clone(),
                lookup_lock: Default::default(),
                looked_up: AtomicBool::new(false),
                failures: LogLimit::new(),
            });
            *known = Arc::downgrade(&name);
            self.requested.notify_one();
            name
        })
    }

    /// A number that grows whenever any name's addresses change: who has seen it need not look at the names.
    #[must_use]
    pub fn changes(&self) -> Arc<AtomicU64> {
        self.changes.clone()
    }

    /// Keeps the addresses fresh; runs until it is dropped.
    pub async fn run(&self) {
        let mut last_full = Instant::now();
        // a name that takes long holds up no other
        let mut lookups = JoinSet::new();
        loop {
            let full = last_full.elapsed() >= REFRESH;
            if full {
                last_full = Instant::now();
            }
            for name in self.in_use().into_iter().filter(|name| full || name.addresses().is_empty()) {
                lookups.spawn(async move { name.look_up().await });
            }
            while lookups.try_join_next().is_some() {}
            tokio::select! {
                () = tokio::time::sleep(RETRY_UNKNOWN) => {}
                () = self.requested.notified() => {}
            }
        }
    }

    /// Whether every name has been found, or looked up in vain.
    #[must_use]
    pub fn first_lookups_done(&self) -> bool {
        self.in_use().iter().all(|name| name.is_settled())
    }

    /// Waits until every name has been found, or has been looked up in vain, but no longer than this.
    pub async fn wait_for_first_lookups(&self, limit: Duration) {
        const LOOK: Duration = Duration::from_millis(10);
        let settled = async {
            while !self.first_lookups_done() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // whoever is unknown then is looked up further; its server is skipped meanwhile
        let _ = timeout(limit, settled).await;
    }

    fn in_use(&self) -> Vec<Arc<ResolvedName>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().filter_map(Weak::upgrade).filter(|name| name.host.parse::<IpAddr>().is_err()).collect()
    }
}

impl ResolvedName {
    /// Its addresses in order; none while the name is not known.
    #[must_use]
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// It was found at these addresses.
    pub(crate) fn found(&self, mut addresses: Vec<SocketAddr>) {
        addresses.sort_unstable();
        addresses.dedup();
        if !addresses.is_empty() && **self.addresses.load() != addresses {
            info!(host = self.host, addresses = addresses.len(); "server name resolved");
            self.addresses.store(Arc::new(addresses));
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether there is nothing more to be expected of its first look-up.
    fn is_settled(&self) -> bool {
        self.looked_up.load(Ordering::Acquire) || !self.addresses().is_empty()
    }

    async fn look_up(&self) {
        let Ok(_looking) = self.lookup_lock.try_lock() else { return };
        let host = self.host.as_str();
        match timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, self.port))).await {
            Ok(Ok(found)) => self.found(found.collect()),
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
        self.looked_up.store(true, Ordering::Release);
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
        while !names.iter().all(|name| name.is_settled()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!names[0].addresses().is_empty() && names[1].addresses().is_empty());
        resolver.wait_for_first_lookups(Duration::from_millis(1)).await;
        assert!(!slow.is_settled(), "waited for it no longer than asked to");
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
            name.found(found);
            counted.push(changes.load(Ordering::Acquire));
        }
        assert_eq!((counted.as_slice(), name.addresses().as_slice()), (&[1, 1, 1, 2][..], &[at(1)][..]));
    }
}
