//! All that names Pingora. This file has one line per hook, in the order in which they run. The work is in the file of each phase, and
//! the decisions are in `exchange`.

mod attempt_error;
mod attempt_log;
mod attempts;
mod body;
mod call_body;
mod client_timeout;
mod clock;
mod connection;
mod ctx;
mod cut;
mod delivery;
mod detached;
mod explaining;
mod failover;
mod failure;
mod forward;
mod forwarding;
mod head;
mod idle_sockets;
mod interruption;
mod kept;
mod local_answer;
mod model_route;
mod opening;
mod own_answer;
mod plugin_request;
mod plugin_sender;
mod proxy_protocol;
mod recording;
mod redirects;
mod refusal;
mod relay;
mod reply;
mod request;
mod response;
mod response_tap;
mod retry;
mod route;
mod select;
mod sending;
mod sent_target;
mod serving;
mod snapshot;
mod stall;
mod tcp_ack;
mod timer;
mod tls_socket;
mod tracing;
mod transform;
mod transport;
mod turn;
mod unprocessed;
mod upstream;
mod upstream_socket;
mod view;
mod websocket;
mod worker;
mod worker_proxy;
mod write_buffer;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use ctx::Exchange;

pub use explaining::{ClientRequest, End, Prepared, SentRequest, Unexplained, explain};
pub use plugin_sender::PluginSender;
pub use route::Route;
pub use snapshot::{Limits, PersistentState, Snapshot};
pub use worker::{Accepted, Threads, Workers};
pub use worker_proxy::{WorkerProxy, kept_connections};

/// The gateway as Pingora drives it.
pub struct Gateway {
    snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Gateway {
    /// A gateway that serves whatever snapshot is current when a request begins.
    #[must_use]
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { snapshot }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    // boxed: Pingora moves it several times
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        detached::take_handoff().unwrap_or_else(|| Exchange::new(self.snapshot.load_full()))
    }

    // Pingora would add a compression module, which buffers event streams
    fn init_downstream_modules(&self, _: &mut pingora_core::modules::http::HttpModules) {}

    fn allow_spawning_subrequest(&self, session: &Session, ctx: &Box<Exchange>) -> bool {
        // calls of HTTP/1.1 go on where they are, and a detached call needs no other subrequest
        ctx.snapshot.subrequests && session.is_http2() && ctx.handed_over.is_none()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Exchange>) -> Result<bool> {
        request::handle(session, ctx).await
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Box<Exchange>) -> Result<Box<HttpPeer>> {
        select::choose_server(session, ctx).await
    }

    fn fail_to_connect(&self, _: &mut Session, peer: &HttpPeer, ctx: &mut Box<Exchange>, e: Box<Error>) -> Box<Error> {
        attempts::on_connect(ctx, peer, e)
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        fd: std::os::fd::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Box<Exchange>,
    ) -> Result<()> {
        attempts::on_connected(ctx, peer, fd, reused, digest)
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        head: &mut RequestHeader,
        ctx: &mut Box<Exchange>,
    ) -> Result<()> {
        forward::write_head(head, ctx)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<Exchange>,
    ) -> Result<()> {
        call_body::on_body(session, body, end, ctx)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Box<Exchange>,
    ) -> Result<()> {
        response::on_head(session, head, ctx, &self.snapshot)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Box<Exchange>,
    ) -> Result<()> {
        response::on_head_to_client(session, head, ctx).await
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<Exchange>,
    ) -> Result<Option<Duration>> {
        response::on_chunk(session, body, end, ctx)?;
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        ctx: &mut Box<Exchange>,
        _reused: bool,
    ) -> Box<Error> {
        attempts::on_attempt(ctx, session, e)
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, ctx: &mut Box<Exchange>) -> FailToProxy {
        failure::on_exchange(ctx, session, e).await
    }

    // the gateway logs failures itself, once and with a hint
    fn suppress_error_log(&self, _: &Session, _: &Box<Exchange>, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Box<Exchange>, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, e: Option<&Error>, ctx: &mut Box<Exchange>) {
        ctx.settle().await;
        ctx.finish(session, e.is_some());
        detached::over(session, ctx);
        head::took(session);
        if e.is_none() {
            reply::linger(session).await;
        } else if ctx.is_answered {
            kept::keep(session).await;
        }
    }
}
