//! The configuration of a server, which holds for each of its addresses.

use std::sync::Arc;
use std::time::Duration;

use super::ejection::EjectionPolicy;
use super::{Health, InitialHealth, ServerAddress, ServerSettings, UpstreamSettings};
use crate::dns::{ResolvedName, Resolver};

/// One entry of an upstream's `servers`.
#[derive(Debug)]
pub(super) struct ServerConfig {
    pub address: ServerAddress,
    pub name: Arc<ResolvedName>,
    pub weight: u32,
    pub policy: EjectionPolicy,
    /// 0: no limit.
    pub max_conns: u64,
    pub slow_start: Duration,
    pub backup: bool,
    pub down: bool,
    /// The health of a server that is new.
    pub initial: Health,
}

impl ServerConfig {
    /// The most requests in flight on each address.
    pub fn limit(&self) -> u64 {
        if self.max_conns == 0 { u64::MAX } else { self.max_conns }
    }

    pub fn new(settings: &ServerSettings, upstream: &UpstreamSettings, resolver: &Resolver) -> Self {
        let max_time = upstream.eject.max_time.get();
        let initial = upstream.health_check.as_ref().map(|check| check.initial);
        let address = &settings.address;
        Self {
            name: resolver.name(&address.host, address.port),
            address: address.clone(),
            weight: settings.weight.get(),
            policy: EjectionPolicy {
                max_fails: settings.max_fails,
                fail_timeout: settings.fail_timeout.get(),
                max_time,
            },
            max_conns: settings.max_conns.into(),
            slow_start: settings.slow_start.get(),
            backup: settings.backup,
            down: settings.down,
            initial: if initial == Some(InitialHealth::Unhealthy) { Health::Unhealthy } else { Health::Unknown },
        }
    }
}
