//! The configuration that the calls of a connection pass: the one in force when each begins, whatever the handshake began with. So a
//! key that a reload takes out is refused at the next call. The upstream stays that of the handshake.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, Uri};
use pingora_http::RequestHeader;
use plugin_api::ConnectionInfo;

use crate::engine::ctx::Exchange;
use crate::engine::route::Route;
use crate::engine::snapshot::Snapshot;
use crate::exchange::failure::Failure;
use crate::routes::{RouteRequest, WebSockets};

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
}

/// The configuration in force, as it takes one handshake.
pub struct ConfigInForce {
    snapshots: Arc<ArcSwap<Snapshot>>,
    /// The host of the handshake.
    pub host: String,
    /// Its path in the normal form.
    path: String,
    /// Its method.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    uri: Uri,
    /// The client's connection.
    pub connection: Arc<ConnectionInfo>,
}

impl ConfigInForce {
    /// The one that is in force at any time, for the handshake of this exchange, which has this head.
    #[must_use]
    pub fn of(head: &RequestHeader, ctx: &Exchange, snapshots: Arc<ArcSwap<Snapshot>>) -> Self {
        Self {
            snapshots,
            host: ctx.record.host.clone(),
            path: ctx.client_path().to_owned(),
            method: head.method.clone(),
            headers: head.headers.clone(),
            uri: head.uri.clone(),
            connection: Arc::new(ctx.record.context.connection().clone()),
        }
    }

    fn request(&self) -> RouteRequest<'_> {
        RouteRequest {
            host: &self.host,
            path: &self.path,
            method: &self.method,
            headers: &self.headers,
            query: self.uri.query(),
            connection: &self.connection,
        }
    }

    /// Brings a configuration up to date for the next call.
    ///
    /// # Errors
    /// Why the one in force does not take the handshake. The old configuration stays.
    pub fn refresh(&self, config: &mut CallConfig) -> Result<(), Failure> {
        let snapshot = self.snapshots.load();
        if Arc::ptr_eq(&snapshot, &config.snapshot) {
            return Ok(());
        }
        let found = snapshot.router.find(&self.request()).ok_or(Failure::NoRoute)?;
        let route = &snapshot.routes[found.index];
        if !route.upstream().is_some_and(|target| target.websocket == WebSockets::On) {
            return Err(Failure::WebSocketOff);
        }
        *config = CallConfig { snapshot: snapshot.clone(), route: route.clone(), domain: found.domain };
        Ok(())
    }
}
