//! Names of servers and their addresses, looked up in the background: no request ever waits for DNS.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use log::{info, warn};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How often a name is looked up again. The system's resolver does not tell how long an answer holds.
const EVERY: Duration = Duration::from_secs(30);
/// How often a name is tried that has no address yet.
const EVERY_UNKNOWN: Duration = Duration::from_secs(2);
/// How long one look-up may take; the old addresses serve meanwhile.
const LIMIT: Duration = Duration::from_secs(10);

/// The names in use, by identity: a reload finds the addresses it had.
#[derive(Debug, Default)]
pub struct Resolver {
    names: Mutex<HashMap<(String, u16), Weak<Name>>>,
    changed: Notify,
}

/// A host and port, and the addresses it was last found at.
#[derive(Debug)]
pub struct Name {
    host: String,
    port: u16,
    addresses: ArcSwap<Vec<SocketAddr>>,
    current: AtomicUsize,
}

impl Resolver {
    /// The name for this host and port: the one in use, or a new one that is looked up soon.
    /// An IP address is its own answer.
    pub fn name(&self, host: &str, port: u16) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, name| name.strong_count() > 0);
        let known = names.entry((host.to_owned(), port)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let addresses = host.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)).into_iter().collect();
            let name = Name {
                host: host.to_owned(),
                port,
                addresses: ArcSwap::from_pointee(addresses),
                current: AtomicUsize::new(0),
            };
            let name = Arc::new(name);
            *known = Arc::downgrade(&name);
            self.changed.notify_one();
            name
        })
    }

    /// Keeps the addresses fresh; runs until it is dropped.
    pub async fn run(&self) {
        let mut last_full = Instant::now();
        loop {
            let full = last_full.elapsed() >= EVERY;
            if full {
                last_full = Instant::now();
            }
            let due = self.in_use().into_iter().filter(|name| full || name.address().is_none());
            let mut lookups: JoinSet<()> = due.map(|name| async move { name.look_up().await }).collect();
            while lookups.join_next().await.is_some() {}
            tokio::select! {
                () = tokio::time::sleep(EVERY_UNKNOWN) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Waits until every name has been found, but no longer than this.
    pub async fn settle(&self, patience: Duration) {
        const LOOK: Duration = Duration::from_millis(10);
        let all_found = async {
            while self.in_use().iter().any(|name| name.address().is_none()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        // whoever is unknown then is looked up further; its server is skipped meanwhile
        let _ = timeout(patience, all_found).await;
    }

    fn in_use(&self) -> Vec<Arc<Name>> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().filter_map(Weak::upgrade).filter(|name| name.host.parse::<IpAddr>().is_err()).collect()
    }
}

impl Name {
    /// The address to connect to: of several, the one that worked last. `None` while the name is not known.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let addresses = self.addresses.load();
        let at = self.current.load(Ordering::Relaxed).checked_rem(addresses.len())?;
        addresses.get(at).copied()
    }

    /// How many addresses there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.addresses.load().len()
    }

    /// Nothing answers at this address: the next one's turn.
    pub fn failed(&self, address: SocketAddr) {
        if self.address() == Some(address) {
            self.current.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn look_up(&self) {
        let host = self.host.as_str();
        match timeout(LIMIT, tokio::net::lookup_host((host, self.port))).await {
            Ok(Ok(found)) => {
                let mut found: Vec<SocketAddr> = found.collect();
                found.sort_unstable();
                found.dedup();
                if !found.is_empty() && **self.addresses.load() != found {
                    info!(host, addresses = found.len(); "server name resolved");
                    self.addresses.store(Arc::new(found));
                }
            }
            // the last known addresses stay in use
            Ok(Err(error)) => warn!(host, error:%; "server name not resolved; check the name and the DNS"),
            Err(_) => warn!(host; "DNS does not answer; the last known addresses stay in use"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ip_address_needs_no_lookup() {
        let resolver = Resolver::default();
        assert_eq!(resolver.name("127.0.0.1", 80).address(), Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!(resolver.name("::1", 80).address(), Some("[::1]:80".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_name_is_found_in_the_background() {
        let resolver = Arc::new(Resolver::default());
        let name = resolver.name("localhost", 80);
        assert_eq!(name.address(), None, "nobody waits for it");
        let running = tokio::spawn({
            let resolver = resolver.clone();
            async move { resolver.run().await }
        });
        resolver.settle(Duration::from_secs(10)).await;
        assert!(name.address().is_some_and(|address| address.ip().is_loopback()));
        running.abort();
    }
}
