//! An upstream as the proxy uses it: its pool of servers, and how to reach each of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::WrappedX509;
use x509_parser::prelude::FromDer;

use crate::balance::{
    Algorithm, Fallback, HashKey, Lease, Pool, RetryOn, ServerAddress, UpstreamRegistry, UpstreamSettings,
};
use crate::dns::Resolver;
use crate::exchange::deadlines::AttemptLimits;
use crate::health::Check;

/// Requests that share one HTTP/2 connection. Providers allow 100 and more.
const STREAMS_PER_CONNECTION: usize = 100;

/// What a server may send ahead of one client on an HTTP/2 connection, and of all of them, in bytes.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// A group of servers that answer alike.
pub struct Upstream {
    /// Its name in the YAML.
    pub name: Arc<str>,
    /// Its servers, to choose from.
    pub pool: Pool,
    /// How long to wait for a server.
    pub timeouts: Timeouts,
    /// Attempts in all.
    pub attempts: u32,
    /// How many of them may be further ones, as a share of the requests.
    pub retry_percent: u64,
    /// The upstream that takes over when it is exhausted, and how it is asked.
    pub fallback: Option<(Arc<Upstream>, Fallback)>,
    /// How its servers are checked, if they are.
    pub check: Option<Arc<Check>>,
    /// Whether it, or a fallback, must know what a call asks for.
    pub reads_body: bool,
    /// Whether it, or a fallback, may be spoken to in HTTP/2.
    pub speaks_h2: bool,
    /// Whether a fallback is asked for another model.
    pub renames_models: bool,
    retry_on: Vec<RetryOn>,
    eject_on: Vec<u16>,
    peers: Vec<Peer>,
}

/// How long to wait, as the settings say.
#[derive(Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    pub idle: Duration,
    pub total: Duration,
    pub upgraded: Duration,
}

impl Timeouts {
    /// The limits of an attempt whose client may pause for so long within its request.
    #[must_use]
    pub fn of_attempt(self, client: Duration) -> AttemptLimits {
        AttemptLimits { first_byte: self.first_byte, client, server: self.idle.min(self.first_byte) }
    }
}

/// How a request goes to its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carriage {
    /// On any connection. Over HTTP/2 others share it, and all the time that Pingora can keep there is one from the head of
    /// the request to the head of the response: enough for a body that is here already.
    #[default]
    Shared,
    /// On a connection that no other request uses at the same time. The watch can close it under an attempt, whatever its
    /// protocol, and so the watch keeps the time: for a body that comes from the client while it is sent.
    Own,
    /// In HTTP/1.1, because the request asks for an upgrade, which HTTP/2 has not.
    Http1,
}

/// How to reach one server.
struct Peer {
    /// The `Host` it is sent; the client's own if there is none.
    host: Option<HeaderValue>,
    template: HttpPeer,
}

impl Peer {
    fn speaks_h2(&self) -> bool {
        self.template.options.alpn.get_max_http_version() == 2
    }
}

impl Upstream {
    /// The upstream that the settings describe; its servers' names are looked up soon. `fallback` is the one that they
    /// name.
    ///
    /// # Errors
    /// That the file of authorities cannot be read.
    pub fn new(
        name: &str,
        settings: &UpstreamSettings,
        base: &Path,
        registry: &UpstreamRegistry,
        resolver: &Resolver,
        fallback: Option<Arc<Self>>,
    ) -> Result<Self, String> {
        let authorities = settings.tls.ca.as_ref().map(|ca| authorities(&base.join(&ca.value))).transpose()?;
        let timeouts = Timeouts {
            connect: settings.timeouts.connect.get(),
            first_byte: settings.timeouts.first_byte.get(),
            idle: settings.timeouts.idle.get(),
            total: settings.timeouts.total.get(),
            upgraded: settings.timeouts.upgraded.get(),
        };
        let peers: Vec<_> = settings
            .servers
            .iter()
            .map(|server| {
                let address = &server.address;
                Peer {
                    host: host_header(settings, address),
                    template: template(name, settings, address, timeouts, authorities.clone()),
                }
            })
            .collect();
        let fallback = fallback.zip(settings.fallback.as_ref().map(|fallback| fallback.value.clone()));
        let renames_models = fallback.as_ref().is_some_and(|(to, how)| how.changes_models() || to.renames_models);
        let knows_calls = match &settings.balance {
            Algorithm::LeastTokens => true,
            Algorithm::Hash(hash) => matches!(hash.key, HashKey::Body(_)),
            Algorithm::LeastConn | Algorithm::RoundRobin | Algorithm::PeakEwma => false,
        };
        let mut retry_on = settings.retry.on.clone();
        if settings.retry.non_idempotent {
            retry_on.push(RetryOn::NonIdempotent);
        }
        Ok(Self {
            name: name.into(),
            pool: Pool::new(name, settings, registry, resolver),
            timeouts,
            attempts: settings.retry.attempts.get(),
            retry_percent: settings.retry.budget.percent(),
            reads_body: knows_calls || renames_models || fallback.as_ref().is_some_and(|(to, _)| to.reads_body),
            speaks_h2: peers.iter().any(Peer::speaks_h2) || fallback.as_ref().is_some_and(|(to, _)| to.speaks_h2),
            renames_models,
            fallback,
            check: Check::new(settings, base)?.map(Arc::new),
            retry_on,
            eject_on: settings.eject.on.iter().map(|status| status.get()).collect(),
            peers,
        })
    }

    /// It, its fallback, the fallback of that, and so on.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |upstream| upstream.fallback.as_ref().map(|(fallback, _)| &**fallback))
    }

    /// How to connect to a leased server. Nothing of it will take longer than the time that is left.
    #[must_use]
    pub fn peer(&self, lease: &Lease, left: Duration, carriage: Carriage) -> Box<HttpPeer> {
        let mut chosen = self.peers[lease.server_index()].template.clone();
        chosen._address = lease.server().socket().into();
        let left = left.max(Duration::from_millis(1));
        let connect = self.timeouts.connect.min(left);
        chosen.options.connection_timeout = Some(connect);
        chosen.options.total_connection_timeout = Some(connect);
        if carriage == Carriage::Shared {
            chosen.options.read_timeout = chosen.options.read_timeout.map(|read| read.min(left));
        } else {
            chosen.options.read_timeout = None;
            // also a key of its own in Pingora's pool
            chosen.options.max_h2_streams = 1;
        }
        if carriage == Carriage::Http1 {
            chosen.options.set_http_version(1, 1);
        }
        Box::new(chosen)
    }

    /// The `Host` for a leased server; the client's own if there is none.
    #[must_use]
    pub fn host(&self, lease: &Lease) -> Option<&HeaderValue> {
        self.peers[lease.server_index()].host.as_ref()
    }

    /// Whether this is worth another attempt.
    #[must_use]
    pub fn retries_on(&self, condition: RetryOn) -> bool {
        self.retry_on.contains(&condition)
    }

    /// Whether an answer with this status counts against its server.
    #[must_use]
    pub fn ejects_on(&self, status: u16) -> bool {
        self.eject_on.contains(&status)
    }
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
    // Pingora's pool does not tell two upstreams apart that differ in their authorities or protocols only
    peer.group_key = hash(&(upstream, &settings.tls.ca.as_deref(), timeouts.idle > timeouts.first_byte));
    peer.options.ca = authorities;
    peer.options.idle_timeout = Some(settings.keepalive.idle_timeout.get());
    if address.tls {
        // one limit is all that Pingora has on HTTP/2, for the first byte and for every pause; if a pause may be longer,
        // it takes HTTP/1.1, where the watch can end an attempt before its first byte
        if timeouts.idle <= timeouts.first_byte {
            peer.options.set_http_version(2, 1);
            peer.options.max_h2_streams = STREAMS_PER_CONNECTION;
            peer.options.read_timeout = Some(timeouts.first_byte);
            // Pingora's own are 8 MiB both: one client that takes nothing would stop all others of its connection
            peer.options.h2_stream_window_size = Some(STREAM_WINDOW);
            peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        }
    }
    peer
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn authorities(path: &Path) -> Result<Arc<[WrappedX509]>, String> {
    crate::tls::load_ca(path)?
        .iter()
        .map(|der| {
            WrappedX509::try_new(der.to_vec(), |raw| {
                x509_parser::certificate::X509Certificate::from_der(raw).map(|(_, certificate)| certificate)
            })
            .map_err(|error| format!("{}: {error}", path.display()))
        })
        .collect()
}
