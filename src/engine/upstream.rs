//! How to connect to the servers of an upstream: addresses, TLS, protocols, limits.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora_core::upstreams::peer::{HttpPeer, Scheme};
use pingora_core::utils::tls::WrappedX509;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::FromDer;

use crate::balance::{HostHeader, Lease, Redirects, ServerAddress, UpstreamHeaders, UpstreamSettings};
use crate::exchange::redirects::OwnAddresses;
use crate::exchange::upstream::{Timeouts, Upstream};
use crate::tls::{NamedLeaf, named_leaves};

use super::tls_socket::TracedConnector;

/// Requests that share one HTTP/2 connection. Providers allow 100 and more.
const STREAMS_PER_CONNECTION: usize = 100;

/// The flow-control windows of an HTTP/2 connection to a server, of a stream and of the whole, in bytes.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// How a request goes to its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionUse {
    /// On any connection. Over HTTP/2 others share it, and all the time that Pingora can keep there is one from the head of
    /// the request to the head of the response: enough for a body that is here already.
    #[default]
    Shared,
    /// On a connection that no other request uses at the same time. The timer can close it under an attempt, whatever its
    /// protocol, and so the timer keeps the time: for a body that comes from the client while it is sent.
    Exclusive,
    /// In HTTP/1.1, because the request asks for an upgrade, which HTTP/2 has not.
    Http1,
}

/// How to reach one server.
struct Peer {
    /// The `Host` it is sent; the client's own if there is none.
    host: Option<HeaderValue>,
    /// Its own addresses in redirects, where they become the gateway's.
    redirects: Option<OwnAddresses>,
    template: HttpPeer,
    /// The certificates of its own that `tls.ca` names.
    named: Vec<NamedLeaf>,
    /// Whether it presents one of them, as far as is known. Pingora verifies chains alone, so these are compared here.
    presents_named: AtomicBool,
}

impl Peer {
    fn presents_named(&self) -> bool {
        self.presents_named.load(Ordering::Relaxed)
    }
}

/// How to connect to the servers of one upstream, in the order of the YAML.
pub struct Peers {
    servers: Vec<Peer>,
    headers: UpstreamHeaders,
}

impl Peers {
    /// How to connect to the servers that the settings describe.
    ///
    /// # Errors
    /// That the file of authorities cannot be read.
    pub fn new(upstream: &Upstream, settings: &UpstreamSettings, base: &Path) -> Result<Self, String> {
        let authorities = settings.tls.ca.as_ref().map(|ca| crate::tls::load_ca(&base.join(&ca.value))).transpose()?;
        let read = authorities.as_deref().map(wrapped).transpose()?;
        let peer = |address: &ServerAddress| {
            let template = template(&upstream.name, settings, address, upstream.timeouts, read.clone());
            let named = authorities.as_deref().map(|authorities| named_leaves(authorities, &template.sni));
            Peer {
                host: host_header(settings, address),
                redirects: (settings.redirects == Redirects::Own).then(|| own_addresses(settings, address)),
                template,
                named: named.unwrap_or_default(),
                presents_named: AtomicBool::new(false),
            }
        };
        Ok(Self {
            servers: settings.servers.iter().map(|server| peer(&server.address)).collect(),
            headers: settings.headers.clone(),
        })
    }

    /// How to connect to a leased server under these limits. Nothing of it will take longer than the time that is left. `named` says whether its
    /// certificate is to be one that `tls.ca` names itself; `None`, that it is to be as the last one was.
    #[must_use]
    pub fn peer(
        &self,
        timeouts: Timeouts,
        lease: &Lease,
        left: Duration,
        connection_use: ConnectionUse,
        named: Option<bool>,
    ) -> Box<HttpPeer> {
        let server = &self.servers[lease.server_index()];
        let mut chosen = server.template.clone();
        if named.unwrap_or_else(|| server.presents_named()) {
            // its certificate is compared once it is connected; the handshake's signature is verified nevertheless
            chosen.options.verify_cert = false;
        }
        chosen._address = lease.server().socket().into();
        let left = left.max(Duration::from_millis(1));
        let connect = timeouts.connect.min(left);
        chosen.options.connection_timeout = Some(connect);
        chosen.options.total_connection_timeout = Some(connect);
        if connection_use == ConnectionUse::Shared && timeouts.allow_h2() {
            chosen.options.read_timeout = chosen.options.read_timeout.map(|_| timeouts.first_byte.min(left));
        } else if connection_use == ConnectionUse::Shared {
            chosen.options.read_timeout = None;
        } else {
            chosen.options.read_timeout = None;
            // also a key of its own in Pingora's pool
            chosen.options.max_h2_streams = 1;
        }
        if connection_use == ConnectionUse::Http1 || !timeouts.allow_h2() {
            chosen.options.set_http_version(1, 1);
        }
        Box::new(chosen)
    }

    /// The `Host` for a leased server; the client's own if there is none.
    #[must_use]
    pub fn host(&self, lease: &Lease) -> Option<&HeaderValue> {
        self.servers[lease.server_index()].host.as_ref()
    }

    /// The addresses of a leased server that become the gateway's in redirects, if they do.
    #[must_use]
    pub fn redirects(&self, lease: &Lease) -> Option<&OwnAddresses> {
        self.servers[lease.server_index()].redirects.as_ref()
    }

    /// Whether a server whose certificate no authority has signed may present one that `tls.ca` names itself. Its next connection compares it
    /// with those.
    pub fn may_be_named(&self, lease: &Lease) -> bool {
        let server = &self.servers[lease.server_index()];
        let may = !server.named.is_empty();
        if may {
            server.presents_named.store(true, Ordering::Relaxed);
        }
        may
    }

    /// Whether the certificate of a connected server, whose SHA-256 digest `sha256` gives, is verified: by Pingora, or as one that `tls.ca` names
    /// itself. One that is neither ends the search for named ones.
    pub fn is_verified<'a>(&self, lease: &Lease, peer: &HttpPeer, sha256: impl FnOnce() -> &'a [u8]) -> bool {
        if peer.scheme != Scheme::HTTPS || peer.options.verify_cert {
            return true;
        }
        let server = &self.servers[lease.server_index()];
        let sha256 = sha256();
        let is_named = server.named.iter().any(|leaf| leaf.is(sha256));
        server.presents_named.store(is_named, Ordering::Relaxed);
        is_named
    }

    /// The headers that every server gets in place of the client's.
    #[must_use]
    pub fn headers(&self) -> &UpstreamHeaders {
        &self.headers
    }
}

/// Under which addresses a server may redirect to itself: its own, and the `Host` that it is sent.
fn own_addresses(settings: &UpstreamSettings, address: &ServerAddress) -> OwnAddresses {
    let own = address.authority();
    OwnAddresses::new(address.tls, settings.host.iter().map(HostHeader::as_str).chain([&*own]))
}

fn host_header(settings: &UpstreamSettings, address: &ServerAddress) -> Option<HeaderValue> {
    let host = match &settings.host {
        Some(host) => host.as_str().to_owned(),
        None if address.is_url() => address.authority(),
        None => return None,
    };
    HeaderValue::try_from(host).ok()
}

fn template(
    upstream: &str,
    settings: &UpstreamSettings,
    address: &ServerAddress,
    timeouts: Timeouts,
    authorities: Option<Arc<[WrappedX509]>>,
) -> HttpPeer {
    // never empty: Pingora verifies nothing without a name
    let sni = match (&settings.tls.server_name, address.tls) {
        (_, false) => String::new(),
        (Some(name), true) => name.as_str().to_owned(),
        (None, true) => address.host.clone(),
    };
    let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let mut peer = HttpPeer::new(nowhere, address.tls, sni);
    // without it Pingora's pool would mix upstreams that differ in their authorities or protocols only
    peer.group_key = hash(&(upstream, &settings.tls.ca.as_deref(), !timeouts.allow_h2()));
    peer.options.ca = authorities;
    peer.options.idle_timeout = Some(settings.keepalive.idle_timeout.get());
    // one limit is all that Pingora has on HTTP/2, for the first byte and for every pause; if a pause may be longer,
    // it takes HTTP/1.1, where the timer can end an attempt before its first byte
    if address.tls && timeouts.allow_h2() {
        peer.options.set_http_version(2, 1);
        peer.options.max_h2_streams = STREAMS_PER_CONNECTION;
        peer.options.read_timeout = Some(timeouts.first_byte);
        // Pingora's own are 8 MiB both: one client that takes nothing would stop all others of its connection
        peer.options.h2_stream_window_size = Some(STREAM_WINDOW);
        peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
    }
    if address.tls {
        peer.options.custom_l4 = Some(Arc::new(TracedConnector));
    }
    peer
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The authorities as Pingora takes them.
fn wrapped(authorities: &[CertificateDer<'static>]) -> Result<Arc<[WrappedX509]>, String> {
    let wrap = |der: &CertificateDer<'static>| {
        WrappedX509::try_new(der.to_vec(), |raw| {
            x509_parser::certificate::X509Certificate::from_der(raw).map(|(_, certificate)| certificate)
        })
        .map_err(|error| error.to_string())
    };
    authorities.iter().map(wrap).collect()
}
