//! The health check of an upstream, prepared from its settings. Decides what to send and when, not what a result means.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::balance::{CheckKind, HealthCheckSettings, ServerAddress, StatusRange, TlsName, UpstreamSettings};
use crate::tls;

use super::probe::{HttpRequest, Probe, ProbeError};
use super::verdict::Thresholds;

/// The health check of an upstream.
pub struct Check {
    /// One probe for each entry of `servers`, in the order of the YAML.
    probes: Vec<Probe>,
    interval: Duration,
    jitter: Duration,
    pub(super) thresholds: Thresholds,
}

impl Check {
    /// Prepares the check of an upstream; `None` if it has none. Paths are relative to `base`.
    ///
    /// # Errors
    /// A certificate authority that cannot be read, or a name that cannot be sent.
    pub fn new(settings: &UpstreamSettings, base: &Path) -> Result<Option<Self>, String> {
        let Some(check) = &settings.health_check else { return Ok(None) };
        let verifies = check.kind != CheckKind::Tcp && settings.servers.iter().any(|server| server.address.tls);
        let authorities = settings.tls.ca.as_ref().map(|ca| base.join(&ca.value));
        let tls = verifies.then(|| tls::client_config(authorities.as_deref())).transpose()?.map(TlsConnector::from);
        let probes = settings.servers.iter().map(|server| probe(settings, check, &server.address, tls.as_ref()));
        Ok(Some(Self {
            probes: probes.collect::<Result<_, _>>()?,
            interval: check.interval.get(),
            jitter: check.jitter.get(),
            thresholds: Thresholds { healthy: check.healthy, unhealthy: check.unhealthy },
        }))
    }

    /// Probes the server of this entry at one of its addresses.
    pub(super) async fn run(&self, server_index: usize, address: SocketAddr) -> Result<Option<u16>, ProbeError> {
        self.probes[server_index].run(address).await
    }

    /// The time from the start of one check to the start of the next.
    pub(super) fn pause(&self, random: u64) -> Duration {
        self.interval + self.delay(random)
    }

    /// The time before the first check: a random part of the jitter.
    pub(super) fn delay(&self, random: u64) -> Duration {
        self.jitter.mul_f64(random as f64 / u64::MAX as f64)
    }
}

/// The probe of one server.
fn probe(
    settings: &UpstreamSettings,
    check: &HealthCheckSettings,
    server: &ServerAddress,
    tls: Option<&TlsConnector>,
) -> Result<Probe, String> {
    let tls = match tls {
        Some(connector) if server.tls => {
            let name = settings.tls.server_name.as_ref().map_or(server.host.as_str(), TlsName::as_str);
            let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is not a name for TLS"))?;
            Some((connector.clone(), name))
        }
        _ => None,
    };
    let request = (check.kind == CheckKind::Http).then(|| request(settings, check, server)).transpose()?;
    Ok(Probe { tls, request, timeout: check.timeout.get() })
}

fn request(
    settings: &UpstreamSettings,
    check: &HealthCheckSettings,
    server: &ServerAddress,
) -> Result<HttpRequest, String> {
    let host = check.host.as_ref().map(|host| &host.value).or(settings.host.as_ref());
    let host = host.map_or_else(|| server.authority(), |host| host.as_str().to_owned());
    Ok(HttpRequest {
        path: check.path.as_ref().map(|path| path.value.clone()).unwrap_or_default().get().clone(),
        host: HeaderValue::try_from(&host).map_err(|_| format!("`{host}` cannot be sent as Host"))?,
        headers: settings.headers.clone(),
        statuses: check.status.as_ref().map_or_else(|| vec![StatusRange::NO_ERROR], |status| status.value.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: serde_json::Value) -> Check {
        let settings = serde_json::from_value(json).unwrap();
        Check::new(&settings, Path::new("")).unwrap().unwrap()
    }

    #[test]
    fn a_server_is_asked_by_its_own_name_unless_another_is_given() {
        let host = |of_upstream: Option<&str>, of_check: Option<&str>| {
            let mut json = serde_json::json!({ "servers": [{ "address": "a:1" }], "health_check": {} });
            if let Some(host) = of_upstream {
                json["host"] = host.into();
            }
            if let Some(host) = of_check {
                json["health_check"]["host"] = host.into();
            }
            let check = check(json);
            check.probes[0].request.as_ref().unwrap().host.to_str().unwrap().to_owned()
        };
        assert_eq!(host(None, None), "a:1");
        assert_eq!(host(Some("b"), None), "b");
        assert_eq!(host(Some("b"), Some("c")), "c");
    }

    #[test]
    fn tls_is_spoken_where_the_address_says_so_and_never_for_tcp() {
        let servers = serde_json::json!([{ "address": "https://a" }, { "address": "b:1" }]);
        for (kind, tls, asks) in [("http", true, true), ("tls", true, false), ("tcp", false, false)] {
            let check = check(serde_json::json!({ "servers": servers, "health_check": { "type": kind } }));
            let [a, b] = &check.probes[..] else { panic!("one for each") };
            assert_eq!((a.tls.is_some(), a.request.is_some(), b.tls.is_some()), (tls, asks, false), "{kind}");
        }
    }

    #[test]
    fn jitter_only_adds_and_never_more_than_allowed() {
        let check = check(serde_json::json!({
            "servers": [{ "address": "a:1" }], "health_check": { "interval": "2s", "jitter": "1s" },
        }));
        assert_eq!(check.pause(0), Duration::from_secs(2));
        assert_eq!(check.pause(u64::MAX), Duration::from_secs(3));
        let half = check.delay(u64::MAX / 2);
        assert!(half > Duration::from_millis(499) && half < Duration::from_millis(501), "{half:?}");
    }
}
