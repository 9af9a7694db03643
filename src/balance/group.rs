//! An upstream as the whole process knows it: what its servers share, whatever configuration names them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::budget::Budget;
use super::hash;
use super::queue::Queue;
use super::site::Site;
use super::{Server, ServerAddress};

/// The servers of an upstream that are in use by some configuration or by some request in flight, and what they share.
#[derive(Debug)]
pub(super) struct Group {
    name: Arc<str>,
    servers: Mutex<HashMap<(ServerAddress, SocketAddr), Weak<Server>>>,
    /// Requests that wait for one of them.
    pub queue: Queue,
    /// Whether another attempt may be made.
    pub budget: Budget,
    /// Whether a server that comes now is an addition.
    settled: AtomicBool,
    judging: Mutex<()>,
}

static IDS: AtomicU64 = AtomicU64::new(0);

impl Group {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            servers: Mutex::default(),
            queue: Queue::default(),
            budget: Budget::default(),
            settled: AtomicBool::new(false),
            judging: Mutex::default(),
        }
    }

    /// Held by who sees whether another server is left and ejects this one: in one step, or two might eject each other's.
    pub fn judging(&self) -> MutexGuard<'_, ()> {
        self.judging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server at this address: the one in use, or a new one.
    pub fn server(self: &Arc<Self>, site: &Site, socket: SocketAddr) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, server| server.strong_count() > 0);
        let known = servers.entry((site.address.clone(), socket)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let id = IDS.fetch_add(1, Ordering::Relaxed);
            let identity = hash::of(format!("{} {socket}", site.address).as_bytes());
            let server = Arc::new(Server::new(id, self.clone(), site, socket, identity));
            *known = Arc::downgrade(&server);
            server
        })
    }

    /// Those that somebody holds on to.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.values().filter_map(Weak::upgrade).collect()
    }

    /// From now on a new server is one that was added.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }
}
