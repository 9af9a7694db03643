//! A WebSocket between a client and a server. Its bytes pass as they come; where plugins need the calls, the messages are read, and
//! one that asks for an answer waits until they have decided. Closes both sides when the gateway stops.
//!
//! The client's bytes go through [`Socket::poll_read`], below Pingora, so that the server's go on while a message waits. The server's
//! go through [`Socket::pass`], where Pingora hands them over.

mod admission;
mod begun;
mod call;
mod call_config;
mod calls;
mod closure;
mod deciding;
mod handshake;
mod inbound;
mod message;
mod models;
mod opened_unread;
mod outbound;
mod pausable_deadline;
mod reading;
mod realtime_model;
mod socket;
mod stop;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora_proxy::Session;
use plugin_api::Endpoint;

use super::connection::Connection;
use super::ctx::Exchange;
use super::route::Route;
use super::snapshot::Snapshot;

use call_config::{CallConfig, ConfigInForce};
use handshake::Handshake;
use opened_unread::OpenedUnread;
use reading::Reading;
use socket::Messages;
use stop::Stop;

pub use handshake::is_websocket;
pub use realtime_model::RealtimeModel;
pub use socket::Socket;

/// The endpoint whose messages are to be read on the WebSocket that this request asks for; none where nobody needs them.
#[must_use]
pub fn endpoint_to_read(ctx: &Exchange) -> Option<Endpoint> {
    let is_needed = needs_messages(&ctx.snapshot, ctx.route.as_ref()?);
    is_needed.then(|| Endpoint::of_websocket(ctx.path())).flatten()
}

/// Whether anybody needs the messages of a WebSocket that carries calls on this route.
fn needs_messages(snapshot: &Snapshot, route: &Route) -> bool {
    let renames = route.upstream().is_some_and(|target| target.models.is_some() || target.upstream.renames_models);
    let needs = route.chain.needs();
    renames || snapshot.reads_answers(route) || needs.body || needs.messages
}

/// The server has accepted the handshake: everything behind it are frames. `in_force` is the configuration that each call is to pass.
pub fn begin(session: &Session, ctx: &mut Exchange, in_force: &Arc<ArcSwap<Snapshot>>) {
    let Some(connection) = session.downstream_session.as_http1().and_then(|http1| Connection::of(http1.stream()))
    else {
        return;
    };
    let config = Endpoint::of_websocket(ctx.path()).zip(CallConfig::of(ctx));
    let messages = config.map_or(Messages::Other, |(endpoint, config)| {
        let in_force = ConfigInForce::of(session.req_header(), ctx, in_force.clone());
        if ctx.websocket_endpoint.is_none() {
            return Messages::Unread(Box::new(OpenedUnread::new(in_force, config)));
        }
        let handshake = Handshake::of(session.req_header(), ctx, endpoint, in_force);
        Messages::Read(Box::new(Reading::new(handshake, config)))
    });
    let stop = Stop::new(connection.stopping(), ctx.snapshot.limits.drain_timeout);
    let socket = Arc::new(Socket::new(messages, stop));
    connection.upgrade(socket.clone());
    ctx.websocket = Some(socket);
}
