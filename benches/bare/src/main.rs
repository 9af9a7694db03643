//! A bare Pingora proxy: `bare LISTEN UPSTREAM...` spreads requests over the upstreams in turn and does nothing else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct RoundRobin(Vec<SocketAddr>, AtomicUsize);

#[async_trait]
impl ProxyHttp for RoundRobin {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let turn = self.1.fetch_add(1, Ordering::Relaxed) % self.0.len();
        Ok(Box::new(HttpPeer::new(self.0[turn], false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("usage: bare LISTEN UPSTREAM...")?;
    let upstreams = arguments.map(|address| address.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    if upstreams.is_empty() {
        return Err("usage: bare LISTEN UPSTREAM...".into());
    }

    let threads = std::thread::available_parallelism()?.get();
    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads, ..ServerConf::default() });
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, RoundRobin(upstreams, AtomicUsize::new(0)));
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
