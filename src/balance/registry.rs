//! All upstreams of the process by name, so that the state of their servers survives reloads. A server is identified by the
//! name of its upstream, its address in the YAML and its IP address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Server;
use super::upstream_state::UpstreamState;

/// The upstreams that a configuration or a request in flight uses.
#[derive(Debug, Default)]
pub struct UpstreamRegistry {
    upstreams: Mutex<HashMap<String, Weak<UpstreamState>>>,
}

impl UpstreamRegistry {
    /// Returns the upstream of this name: the one in use, or a new one.
    pub(super) fn upstream(&self, upstream: &str) -> Arc<UpstreamState> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.retain(|_, upstream| upstream.strong_count() > 0);
        let known = upstreams.entry(upstream.to_owned()).or_default();
        known.upgrade().unwrap_or_else(|| {
            let upstream = Arc::new(UpstreamState::new(upstream));
            *known = Arc::downgrade(&upstream);
            upstream
        })
    }

    /// Every server that a configuration or a request in flight uses.
    #[must_use]
    pub fn servers(&self) -> Vec<Arc<Server>> {
        let upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.values().filter_map(Weak::upgrade).flat_map(|upstream| upstream.servers()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::UpstreamSettings;
    use crate::balance::server_config::ServerConfig;
    use crate::dns::Resolver;

    #[test]
    fn a_server_is_the_same_as_long_as_anybody_uses_it() {
        let registry = UpstreamRegistry::default();
        let settings = serde_json::from_value(serde_json::json!({ "servers": [{ "address": "a:1" }] }));
        let settings: UpstreamSettings = settings.unwrap();
        let config = ServerConfig::new(&settings.servers[0], &settings, &Resolver::default());
        let (here, there) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap());
        let before = registry.upstream("one").server(&config, here);
        assert!(Arc::ptr_eq(&before, &registry.upstream("one").server(&config, here)));
        assert!(!Arc::ptr_eq(&before, &registry.upstream("one").server(&config, there)));
        assert!(!Arc::ptr_eq(&before, &registry.upstream("two").server(&config, here)));
        drop(before);
        registry.upstream("three");
        assert_eq!(registry.upstreams.lock().unwrap().len(), 1, "what nobody uses is forgotten");
    }
}
