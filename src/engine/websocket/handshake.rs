//! The handshake of a WebSocket: what all calls on the connection have in common.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue, Method, Uri};
use pingora_http::RequestHeader;
use plugin_api::{Endpoint, SessionModel};

use crate::engine::ctx::Exchange;
use crate::engine::snapshot::{Route, Snapshot};
use crate::exchange::failure::Failure;

/// What all calls on a connection have in common.
pub struct Handshake {
    /// The configuration that the connection began with.
    pub snapshot: Arc<Snapshot>,
    /// Its route.
    pub route: Arc<Route>,
    /// Its host as metrics name it.
    pub domain: Arc<str>,
    /// The endpoint whose messages are read.
    pub endpoint: Endpoint,
    /// The model in the address, where the connection is for one, and for certain that one.
    pub model: Option<String>,
    /// The head of the request.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// The path for records.
    pub path: String,
    /// The host for records.
    pub host: String,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The name of the upstream that accepted it.
    pub upstream: Option<Arc<str>>,
    /// The server that accepted it.
    pub server: Option<Arc<str>>,
    /// Why the connection is over, once it is.
    pub over: OnceLock<Failure>,
}

impl Handshake {
    /// The handshake of this exchange, which has been accepted.
    #[must_use]
    pub fn of(head: &RequestHeader, ctx: &Exchange, endpoint: Endpoint) -> Option<Self> {
        let named = endpoint.websocket.is_some_and(|schema| schema.model_in_query);
        Some(Self {
            snapshot: ctx.snapshot.clone(),
            route: ctx.route.clone()?,
            domain: ctx.domain.clone(),
            endpoint,
            model: named.then(|| SessionModel::of(head.uri.query()).name().map(str::to_owned)).flatten(),
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
            path: ctx.record.path.clone(),
            host: ctx.record.host.clone(),
            client: ctx.record.context.client,
            upstream: ctx.record.upstream.clone(),
            server: ctx.record.server.clone(),
            over: OnceLock::new(),
        })
    }
}

/// Whether a request that asks for an upgrade asks for a WebSocket.
#[must_use]
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let names = headers.get_all(UPGRADE).iter().filter_map(|value| HeaderValue::to_str(value).ok());
    // a server may take a protocol with a version for the same
    let names = names.flat_map(|value| value.split(',')).filter_map(|name| name.split('/').next());
    names.map(str::trim).any(|name| name.eq_ignore_ascii_case("websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_is_asked_for_by_name() {
        for (value, wanted) in
            [("websocket", true), ("WebSocket", true), ("h2c, websocket", true), ("websocket/13", true), ("h2c", false)]
        {
            let headers = HeaderMap::from_iter([(UPGRADE, HeaderValue::from_static(value))]);
            assert_eq!(is_websocket(&headers), wanted, "{value}");
        }
        assert!(!is_websocket(&HeaderMap::new()));
    }
}
