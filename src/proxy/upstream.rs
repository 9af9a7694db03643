//! An upstream as the proxy uses it: its pool of servers, and how to reach each of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::WrappedX509;
use x509_parser::prelude::FromDer;

use crate::balance::{Pool, Registry, RetryOn, ServerAddress, UpstreamSettings};
use crate::dns::{Name, Resolver};

/// Requests that share one HTTP/2 connection. Providers allow 100 and more.
const STREAMS_PER_CONNECTION: usize = 100;

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
    retry_on: Vec<RetryOn>,
    peers: Vec<Peer>,
}

/// How long to wait, as the settings say.
#[derive(Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    pub idle: Duration,
    pub total: Duration,
}

/// How to reach one server.
struct Peer {
    name: Arc<Name>,
    /// The `Host` it is sent; the client's own if there is none.
    host: Option<HeaderValue>,
    template: HttpPeer,
}

impl Upstream {
    /// The upstream that the settings describe; its servers' names are looked up soon.
    ///
    /// # Errors
    /// That the file of authorities cannot be read.
    pub fn new(
        name: &str,
        settings: &UpstreamSettings,
        base: &Path,
        registry: &Registry,
        resolver: &Resolver,
    ) -> Result<Self, String> {
        let authorities = settings.tls.ca.as_ref().map(|ca| authorities(&base.join(&ca.value))).transpose()?;
        let timeouts = Timeouts {
            connect: settings.timeouts.connect.get(),
            first_byte: settings.timeouts.first_byte.get(),
            idle: settings.timeouts.idle.get(),
            total: settings.timeouts.total.get(),
        };
        let peers = settings.servers.iter().map(|server| {
            let address = &server.address;
            Peer {
                name: resolver.name(&address.host, address.port),
                host: host_header(settings, address),
                template: template(name, settings, address, timeouts, authorities.clone()),
            }
        });
        Ok(Self {
            name: name.into(),
            pool: Pool::new(name, settings, registry),
            timeouts,
            attempts: settings.retry.attempts.get(),
            retry_on: settings.retry.on.clone(),
            peers: peers.collect(),
        })
    }

    /// How to connect to a server of the pool now; `None` while its name is not known.
    /// Nothing of it will take longer than the time that is left.
    #[must_use]
    pub fn peer(&self, server: usize, left: Duration) -> Option<Box<HttpPeer>> {
        let peer = &self.peers[server];
        let mut chosen = peer.template.clone();
        chosen._address = peer.name.address()?.into();
        let left = left.max(Duration::from_millis(1));
        let connect = self.timeouts.connect.min(left);
        chosen.options.connection_timeout = Some(connect);
        chosen.options.total_connection_timeout = Some(connect);
        chosen.options.read_timeout = chosen.options.read_timeout.map(|read| read.min(left));
        Some(Box::new(chosen))
    }

    /// The name of a server of the pool.
    #[must_use]
    pub fn server_name(&self, server: usize) -> &Name {
        &self.peers[server].name
    }

    /// The `Host` for a server of the pool; the client's own if there is none.
    #[must_use]
    pub fn host(&self, server: usize) -> Option<&HeaderValue> {
        self.peers[server].host.as_ref()
    }

    /// Whether this is worth another attempt.
    #[must_use]
    pub fn retries_on(&self, condition: RetryOn) -> bool {
        self.retry_on.contains(&condition)
    }

    /// Whether an answer with this status is worth another attempt.
    #[must_use]
    pub fn retries_on_status(&self, status: u16) -> bool {
        let condition = match status {
            429 => RetryOn::Http429,
            500 => RetryOn::Http500,
            502 => RetryOn::Http502,
            503 => RetryOn::Http503,
            504 => RetryOn::Http504,
            529 => RetryOn::Http529,
            _ => return false,
        };
        self.retries_on(condition)
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
