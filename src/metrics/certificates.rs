//! How long the certificates of the listeners are still valid, at the time of a scrape.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::proto::{MetricFamily, MetricType};

use super::family::{family, label, signed_gauge};

/// A certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateFigures {
    /// The address of the listener, with its real port.
    pub listener: String,
    /// The certificate's file, as the YAML names it.
    pub certificate: String,
    /// When it expires, or a certificate of its chain does that expires earlier, in seconds since 1970.
    pub expires: i64,
}

/// The metrics of these certificates; nothing if there are none.
pub(super) fn families(certificates: &[CertificateFigures]) -> Option<MetricFamily> {
    if certificates.is_empty() {
        return None;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let metric = |figures: &CertificateFigures| {
        let labels = vec![label("certificate", &figures.certificate), label("listener", &figures.listener)];
        signed_gauge(labels, figures.expires.saturating_sub(now))
    };
    Some(family(
        "tollgate_certificate_expiry_seconds",
        "Seconds until a certificate of a listener, or of its chain, expires; negative once it has",
        MetricType::GAUGE,
        certificates.iter().map(metric).collect(),
    ))
}
