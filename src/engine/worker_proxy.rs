//! The proxy of one worker. Every request of its connections gets a timer.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, SubrequestSpawner};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exchange::forwarded::is_in;

use super::Gateway;
use super::snapshot::{Limits, Snapshot};
use super::timer::{Timer, with_deadlines};

/// Attempts that Pingora's own loop allows; the YAML's budget, which is smaller, decides.
const MAX_ATTEMPTS: usize = 64;

/// The proxy of one worker, behind all listeners.
pub struct WorkerProxy {
    proxy: Arc<HttpProxy<Gateway>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Ends the connections that wait for a request.
    idle_end: CancellationToken,
    kept_connections: usize,
}

impl WorkerProxy {
    /// A proxy for the snapshots. Pingora's pool and options are fixed for good by this first configuration.
    #[must_use]
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>, config: &Config) -> Self {
        let kept_connections = kept_connections(config);
        let conf = ServerConf {
            threads: 1,
            upstream_keepalive_pool_size: kept_connections,
            max_retries: MAX_ATTEMPTS,
            ..ServerConf::default()
        };
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        // the gateway refuses it in its own words
        options.allow_connect_method_proxying = true;
        options.h2_idle_timeout = Some(config.server.keepalive_timeout.get());
        let mut proxy = HttpProxy::new(Gateway::new(snapshot.clone()), Arc::new(conf));
        proxy.server_options = Some(options);
        proxy.handle_init_modules();
        Self { proxy: Arc::new(proxy), snapshot, idle_end: CancellationToken::new(), kept_connections }
    }

    /// The configuration that is in force now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// What makes requests of this worker that no connection brings.
    #[must_use]
    pub fn spawner(&self) -> SubrequestSpawner {
        SubrequestSpawner::new(self.proxy.clone())
    }

    /// The bounds of a connection that is accepted now.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.snapshot.load().limits
    }

    /// The connection of the present task is to send its first request now.
    pub fn awaits_first_request(&self) {
        let limits = self.limits();
        Timer::current_awaits_request(limits.header_timeout, limits.header_timeout);
    }

    /// The idle connections that the worker keeps to all its upstreams.
    #[must_use]
    pub fn kept_connections(&self) -> usize {
        self.kept_connections
    }

    /// The connection of the present task may send another request.
    pub fn awaits_next_request(&self) {
        let limits = self.limits();
        Timer::current_awaits_request(limits.keepalive_timeout, limits.header_timeout);
    }

    /// Waits until connections that wait for a request are to be closed.
    pub async fn idle_connections_end(&self) {
        self.idle_end.cancelled().await;
    }

    /// Whether the word of this peer on its client's address is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        is_in(peer.to_canonical(), &self.snapshot.load().trusted_proxies)
    }
}

/// The idle connections that a worker keeps to all its upstreams.
#[must_use]
pub fn kept_connections(config: &Config) -> usize {
    config.upstreams.values().map(|upstream| upstream.keepalive.connections.as_usize()).sum()
}

#[async_trait]
impl HttpServerApp for WorkerProxy {
    /// Pingora's own future, without one of ours around it: each would be an allocation, into which the session is moved.
    fn process_new_http<'proxy, 'shutdown, 'served>(
        self: &'proxy Arc<Self>,
        session: ServerSession,
        shutdown: &'shutdown ShutdownWatch,
    ) -> BoxFuture<'served, Option<ReusedHttpStream>>
    where
        'proxy: 'served,
        'shutdown: 'served,
        Self: 'served,
    {
        if !session.is_http2() {
            // one timer serves all requests of the connection
            return self.proxy.process_new_http(session, shutdown);
        }
        let limit = self.snapshot.load().limits.header_timeout;
        let served = with_deadlines(Timer::new(limit, limit), self.proxy.process_new_http(session, shutdown));
        Box::pin(async { served.await.flatten() })
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        // the crate answers beyond this by itself, without a body; a head up to here can be refused in its caller's dialect
        let most = self.limits().max_header.saturating_mul(2);
        options.max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options.as_ref()
    }

    async fn http_cleanup(&self) {
        self.idle_end.cancel();
        self.proxy.http_cleanup().await;
    }
}
