//! What is counted while it lasts: each guard takes one, and gives it back when it is dropped.

use prometheus::IntGauge;

/// A configuration that somebody still holds on to.
#[derive(Debug)]
#[must_use]
pub struct SnapshotAlive(#[expect(dead_code, reason = "held to be dropped")] Held);

/// A request that has not ended.
#[derive(Debug)]
#[must_use]
pub struct InFlight(#[expect(dead_code, reason = "held to be dropped")] Held);

/// A connection from a client that is open.
#[derive(Debug)]
#[must_use]
pub struct ConnectionInFlight(#[expect(dead_code, reason = "held to be dropped")] [Held; 2]);

impl SnapshotAlive {
    pub(super) fn new(alive: &IntGauge) -> Self {
        Self(Held::new(alive))
    }
}

impl InFlight {
    pub(super) fn new(in_flight: &IntGauge) -> Self {
        Self(Held::new(in_flight))
    }
}

impl ConnectionInFlight {
    pub(super) fn new(on_listener: &IntGauge, in_all: &IntGauge) -> Self {
        Self([Held::new(on_listener), Held::new(in_all)])
    }
}

/// One of a gauge.
#[derive(Debug)]
struct Held(IntGauge);

impl Held {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
