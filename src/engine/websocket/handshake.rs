//! The handshake of a WebSocket: what all calls on the connection have in common.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use http::header::UPGRADE;
use http::{HeaderMap, HeaderValue, Uri, Version};
use pingora_http::RequestHeader;
use plugin_api::{Context, Endpoint, RequestHead, Trace, UpstreamAddrs, Variables};

use crate::access_log::Captured;
use crate::engine::ctx::Exchange;
use crate::engine::snapshot::Snapshot;
use crate::exchange::failure::Failure;

use super::call_config::ConfigInForce;
use super::realtime_model::RealtimeModel;

/// What all calls on a connection have in common.
pub struct Handshake {
    /// The configuration that its calls pass, with the head by which its route is found.
    pub in_force: ConfigInForce,
    /// The endpoint whose messages are read.
    pub endpoint: Endpoint,
    /// The model in the address, where the connection is for one.
    pub model: Option<String>,
    /// The name that the upstream got for it, where that is another.
    pub upstream_model: Option<String>,
    /// Its target as it went upstream.
    pub uri: Uri,
    /// The path of that in its normal form.
    pub sent_path: Box<str>,
    /// Its target as it came.
    pub target: Box<[u8]>,
    /// The path for records.
    pub path: String,
    /// The client's address, and whether a trusted proxy says it.
    pub client: (Option<IpAddr>, bool),
    /// The name of the upstream that accepted it.
    pub upstream: Option<Arc<str>>,
    /// The server that accepted it.
    pub server: Option<Arc<str>>,
    /// Where that was, and the attempts before it.
    pub upstream_addrs: UpstreamAddrs,
    /// The trace of its calls, as far as the handshake has one.
    pub trace: Option<Trace>,
    /// Whether a call has begun on it.
    pub called: AtomicBool,
    /// Why the connection is over, once it is.
    pub over: OnceLock<Failure>,
}

impl Handshake {
    /// The handshake of this exchange, which has been accepted.
    #[must_use]
    pub fn of(head: &RequestHeader, ctx: &Exchange, endpoint: Endpoint, in_force: ConfigInForce) -> Self {
        let (model, context) = (ctx.realtime_model.as_ref(), &ctx.record.context);
        Self {
            in_force,
            endpoint,
            model: model.map(|model| model.requested().to_owned()),
            upstream_model: model.and_then(RealtimeModel::renamed).map(str::to_owned),
            uri: ctx.uri(head).clone(),
            sent_path: ctx.path().into(),
            target: head.raw_path().into(),
            path: ctx.record.path.clone(),
            client: (context.client, context.peer_is_trusted),
            upstream: ctx.record.upstream.clone(),
            server: ctx.record.server.clone(),
            upstream_addrs: ctx.record.upstream_addrs.clone(),
            trace: ctx.record.context.trace.as_deref().cloned(),
            called: AtomicBool::new(false),
            over: OnceLock::new(),
        }
    }

    /// What the access log of a configuration needs of its head.
    pub fn captured(&self, snapshot: &Snapshot, context: &Context, server_name: &str) -> Option<Box<Captured>> {
        if !snapshot.access_log.captures() {
            return None;
        }
        let request = RequestHead {
            method: &self.in_force.method,
            target: &self.target,
            path: &self.sent_path,
            version: Version::HTTP_11,
            host: &self.in_force.host,
            server_name,
            headers: &self.in_force.headers,
        };
        let upstream_addrs = &self.upstream_addrs;
        snapshot.access_log.capture(&Variables { context, request, response: None, upstream_addrs })
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
