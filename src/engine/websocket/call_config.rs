//! The configuration that the calls of a connection pass: the one in force when each begins, whatever the handshake began with. So a
//! key that a reload takes out is refused at the next call. The upstream stays that of the handshake.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::engine::ctx::Exchange;
use crate::engine::snapshot::{Route, Snapshot};
use crate::exchange::failure::Failure;

/// A configuration, and the route in it that takes the handshake.
#[derive(Clone)]
pub struct CallConfig {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The route.
    pub route: Arc<Route>,
    /// The host as metrics name it.
    pub domain: Arc<str>,
}

impl CallConfig {
    /// The configuration of the handshake.
    #[must_use]
    pub fn of(ctx: &Exchange) -> Option<Self> {
        Some(Self { snapshot: ctx.snapshot.clone(), route: ctx.route.clone()?, domain: ctx.domain.clone() })
    }

    /// Becomes the configuration in force, for a handshake with this host and this path in its normal form.
    ///
    /// # Errors
    /// Why that one does not take the handshake. The old configuration stays.
    pub fn refresh(&mut self, in_force: &ArcSwap<Snapshot>, host: &str, path: &str) -> Result<(), Failure> {
        let snapshot = in_force.load();
        if Arc::ptr_eq(&snapshot, &self.snapshot) {
            return Ok(());
        }
        let found = snapshot.router.find(host, path).ok_or(Failure::NoRoute)?;
        let route = &snapshot.routes[found.index];
        if !route.websocket {
            return Err(Failure::WebSocketOff);
        }
        *self = Self { snapshot: snapshot.clone(), route: route.clone(), domain: found.domain };
        Ok(())
    }
}
