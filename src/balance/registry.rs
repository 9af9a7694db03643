//! The servers that the process knows, by identity, so that their counts survive a change of configuration.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Server, ServerAddress};

/// The servers in use by some configuration or by some request that is still in flight.
#[derive(Debug, Default)]
pub struct Registry {
    servers: Mutex<HashMap<(String, ServerAddress), Weak<Server>>>,
}

impl Registry {
    /// The server of this upstream at this address: the one in use, or a new one.
    pub(super) fn server(&self, upstream: &str, address: &ServerAddress) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, server| server.strong_count() > 0);
        let known = servers.entry((upstream.to_owned(), address.clone())).or_default();
        known.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Server { address: address.to_string().into(), in_flight: AtomicU64::new(0) });
            *known = Arc::downgrade(&server);
            server
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_the_same_as_long_as_anybody_uses_it() {
        let registry = Registry::default();
        let address: ServerAddress = "a:1".parse().unwrap();
        let before = registry.server("one", &address);
        assert!(Arc::ptr_eq(&before, &registry.server("one", &address)));
        assert!(!Arc::ptr_eq(&before, &registry.server("two", &address)));
        drop(before);
        registry.server("three", &address);
        assert_eq!(registry.servers.lock().unwrap().len(), 1, "what nobody uses is forgotten");
    }
}
