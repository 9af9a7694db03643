//! The state of an upstream that outlives configurations: its servers and what they share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::budget::Budget;
use super::hash;
use super::queue::Queue;
use super::server_config::ServerConfig;
use super::{Server, ServerAddress};

/// The servers of an upstream that a configuration or a request in flight uses, and what they share.
#[derive(Debug)]
pub(super) struct UpstreamState {
    name: Arc<str>,
    servers: Mutex<HashMap<(ServerAddress, SocketAddr), Weak<Server>>>,
    /// Requests that wait for a server.
    pub queue: Queue,
    /// The retry budget.
    pub budget: Budget,
    /// `max_conns` of each server in the active configuration.
    limits: Mutex<HashMap<ServerAddress, u64>>,
    limits_set: AtomicU64,
    /// Whether the first configuration is complete, so that new servers are additions.
    settled: AtomicBool,
    ejection_lock: Mutex<()>,
}

static IDS: AtomicU64 = AtomicU64::new(0);

impl UpstreamState {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            servers: Mutex::default(),
            queue: Queue::default(),
            budget: Budget::default(),
            limits: Mutex::default(),
            limits_set: AtomicU64::new(0),
            settled: AtomicBool::new(false),
            ejection_lock: Mutex::default(),
        }
    }

    /// Makes one step of "is another server left?" and "eject this one": two threads could otherwise eject the last two.
    pub fn ejection_lock(&self) -> MutexGuard<'_, ()> {
        self.ejection_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the server at this address: the one in use, or a new one.
    pub fn server(self: &Arc<Self>, config: &ServerConfig, socket: SocketAddr) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, server| server.strong_count() > 0);
        let known = servers.entry((config.address.clone(), socket)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let id = IDS.fetch_add(1, Ordering::Relaxed);
            let identity = hash::of(format!("{} {socket}", config.address).as_bytes());
            let server = Arc::new(Server::new(id, self.clone(), config, socket, identity));
            *known = Arc::downgrade(&server);
            server
        })
    }

    /// The servers in use.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.values().filter_map(Weak::upgrade).collect()
    }

    /// The most requests in flight on a server of this entry. Requests of all configurations count together, so the limit of
    /// the active configuration holds for all; the entry's own limit where the active one does not have the server.
    pub fn limit(&self, config: &ServerConfig) -> u64 {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.get(&config.address).copied().unwrap_or(config.limit())
    }

    /// Replaces the limits by those of a configuration that becomes active.
    pub fn set_limits(&self, configs: &[ServerConfig]) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.clear();
        for config in configs {
            // of a server named twice the larger limit counts, since it lets more through anyway
            let limit = limits.entry(config.address.clone()).or_default();
            *limit = config.limit().max(*limit);
        }
        self.limits_set.fetch_add(1, Ordering::Release);
    }

    /// Incremented whenever the limits are replaced.
    pub fn limits_set(&self) -> u64 {
        self.limits_set.load(Ordering::Acquire)
    }

    /// Marks the first configuration as complete: servers that come later are additions.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }
}
