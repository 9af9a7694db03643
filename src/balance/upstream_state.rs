//! An upstream as the whole process knows it: what its servers share, whatever configuration names them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::budget::Budget;
use super::hash;
use super::queue::Queue;
use super::server_config::ServerConfig;
use super::{Server, ServerAddress};

/// The servers of an upstream that are in use by some configuration or by some request in flight, and what they share.
#[derive(Debug)]
pub(super) struct UpstreamState {
    name: Arc<str>,
    servers: Mutex<HashMap<(ServerAddress, SocketAddr), Weak<Server>>>,
    /// Requests that wait for one of them.
    pub queue: Queue,
    /// Whether another attempt may be made.
    pub budget: Budget,
    /// The most requests on each server, as the configuration in force has it.
    limits: Mutex<HashMap<ServerAddress, u64>>,
    limits_set: AtomicU64,
    /// Whether a server that comes now is an addition.
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

    /// Held by who sees whether another server is left and ejects this one: in one step, or two might eject each other's.
    pub fn ejection_lock(&self) -> MutexGuard<'_, ()> {
        self.ejection_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server at this address: the one in use, or a new one.
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

    /// Those that somebody holds on to.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.values().filter_map(Weak::upgrade).collect()
    }

    /// The most requests on a server of this config: what is in flight is counted for all configurations together, so that the
    /// one in force limits it for all. Its own where that one does not name the server, or none has come into force.
    pub fn limit(&self, config: &ServerConfig) -> u64 {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.get(&config.address).copied().unwrap_or(config.limit())
    }

    /// From now on these limits hold.
    pub fn set_limits(&self, configs: &[ServerConfig]) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.clear();
        for config in configs {
            // of one that is named twice, the larger lets more through anyway
            let limit = limits.entry(config.address.clone()).or_default();
            *limit = config.limit().max(*limit);
        }
        self.limits_set.fetch_add(1, Ordering::Release);
    }

    /// A number that grows whenever limits are set.
    pub fn limits_set(&self) -> u64 {
        self.limits_set.load(Ordering::Acquire)
    }

    /// From now on a new server is one that was added.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }
}
