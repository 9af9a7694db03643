//! What Pingora asks a client's connection of itself: its number, its TLS, its addresses and its age. What the gateway knows of it
//! travels with them to every session of the connection.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Response};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, SocketDigest, Ssl, TimingDigest, UniqueID,
};
use pingora_proxy::Session;
use plugin_api::ConnectionInfo;

use crate::exchange::forwarded::address_text;

use super::Connection;

/// What the gateway knows of a connection, for all requests on it.
pub struct Facts {
    /// What plugins see of it.
    pub info: Arc<ConnectionInfo>,
    /// The address of [`ConnectionInfo::client`] as text, which every request upstream has in a header.
    pub client_text: Option<HeaderValue>,
}

/// What Pingora gets of a connection from its beginning.
pub struct Digests {
    /// Its number.
    pub fd: RawFd,
    socket: Arc<SocketDigest>,
    // the only part of Pingora's digests that has room for facts of ours, in HTTP/1.1 and HTTP/2 alike
    facts: Arc<ProxyDigest>,
    accepted: SystemTime,
}

impl Digests {
    /// Those of a connection that was accepted then.
    #[must_use]
    pub fn of(fd: RawFd, info: ConnectionInfo, accepted: SystemTime) -> Self {
        let socket = SocketDigest::from_raw_fd(fd);
        // known from accept(): saves a system call per connection
        let _ = socket.peer_addr.set(info.peer.map(Into::into));
        let (no_response, ()) = Response::new(()).into_parts();
        let client_text = info.client().map(|address| address_text(address.ip()));
        let facts = Facts { info: Arc::new(info), client_text };
        let facts = ProxyDigest::new(Box::new(no_response.into()), Some(Box::new(facts)));
        Self { fd, socket: Arc::new(socket), facts: Arc::new(facts), accepted }
    }

    /// What Pingora carries to every session of the connection.
    pub fn facts(&self) -> Arc<ProxyDigest> {
        self.facts.clone()
    }

    /// What plugins see of the connection.
    pub fn info(&self) -> Arc<ConnectionInfo> {
        let facts = self.facts.user_data.as_ref().and_then(|facts| facts.downcast_ref::<Facts>());
        facts.map(|facts| facts.info.clone()).unwrap_or_default()
    }
}

/// What is known of the connection that a session came on; `None` for the session of a detached call.
#[must_use]
pub fn connection_facts(session: &Session) -> Option<&Facts> {
    session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}

impl UniqueID for Connection {
    fn id(&self) -> RawFd {
        self.digests.fd
    }
}

impl Ssl for Connection {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.ssl.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.alpn.clone()
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.digests.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digests.facts())
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digests.socket.clone())
    }
}
