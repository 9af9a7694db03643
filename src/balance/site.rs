//! A server as the YAML names it: what holds for each of its addresses.

use std::sync::Arc;
use std::time::Duration;

use super::ejection::Terms;
use super::{ServerAddress, ServerSettings};
use crate::dns::{Name, Resolver};

/// One entry of an upstream's `servers`.
#[derive(Debug)]
pub(super) struct Site {
    pub address: ServerAddress,
    pub name: Arc<Name>,
    pub weight: u32,
    pub terms: Terms,
    /// 0: any number.
    pub max_conns: u64,
    pub slow_start: Duration,
    pub backup: bool,
    pub down: bool,
}

impl Site {
    pub fn new(settings: &ServerSettings, resolver: &Resolver, longest: Duration) -> Self {
        let address = &settings.address;
        Self {
            name: resolver.name(&address.host, address.port),
            address: address.clone(),
            weight: settings.weight.get(),
            terms: Terms { max_fails: settings.max_fails, fail_timeout: settings.fail_timeout.get(), longest },
            max_conns: settings.max_conns.into(),
            slow_start: settings.slow_start.get(),
            backup: settings.backup,
            down: settings.down,
        }
    }
}
