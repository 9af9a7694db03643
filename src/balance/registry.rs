//! The upstreams that the process knows, by name, so that what is known of their servers survives a change of
//! configuration. A server is the same as long as its upstream's name, its address in the YAML and its IP address are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Server;
use super::group::Group;

/// The upstreams in use by some configuration or by some request that is still in flight.
#[derive(Debug, Default)]
pub struct Registry {
    groups: Mutex<HashMap<String, Weak<Group>>>,
}

impl Registry {
    /// The upstream of this name: the one in use, or a new one.
    pub(super) fn group(&self, upstream: &str) -> Arc<Group> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|_, group| group.strong_count() > 0);
        let known = groups.entry(upstream.to_owned()).or_default();
        known.upgrade().unwrap_or_else(|| {
            let group = Arc::new(Group::new(upstream));
            *known = Arc::downgrade(&group);
            group
        })
    }

    /// Every server that some configuration or some request in flight still holds on to.
    #[must_use]
    pub fn servers(&self) -> Vec<Arc<Server>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.values().filter_map(Weak::upgrade).flat_map(|group| group.servers()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::UpstreamSettings;
    use crate::balance::site::Site;
    use crate::dns::Resolver;

    #[test]
    fn a_server_is_the_same_as_long_as_anybody_uses_it() {
        let registry = Registry::default();
        let settings = serde_json::from_value(serde_json::json!({ "servers": [{ "address": "a:1" }] }));
        let settings: UpstreamSettings = settings.unwrap();
        let site = Site::new(&settings.servers[0], &settings, &Resolver::default());
        let (here, there) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap());
        let before = registry.group("one").server(&site, here);
        assert!(Arc::ptr_eq(&before, &registry.group("one").server(&site, here)));
        assert!(!Arc::ptr_eq(&before, &registry.group("one").server(&site, there)));
        assert!(!Arc::ptr_eq(&before, &registry.group("two").server(&site, here)));
        drop(before);
        registry.group("three");
        assert_eq!(registry.groups.lock().unwrap().len(), 1, "what nobody uses is forgotten");
    }
}
