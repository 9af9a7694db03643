//! Guards that count as one in a gauge until they are dropped, and waiting until no request or connection is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;
use tokio::sync::Notify;

/// A configuration in use, until dropped.
#[derive(Debug)]
#[must_use]
pub struct ConfigSnapshot(#[expect(dead_code, reason = "held to be dropped")] GaugeGuard);

/// A request in flight, until dropped.
#[derive(Debug)]
#[must_use]
pub struct InFlight(Counter);

/// Counts the open connections to one listener.
#[derive(Clone, Debug)]
pub struct ListenerConnections {
    gauge: IntGauge,
    /// Those of all listeners together.
    all: Counter,
}

/// An open connection from a client, until dropped.
#[derive(Debug)]
#[must_use]
// in this order, so that the gauge is correct when the last connection is signalled
pub struct ConnectionInFlight(#[expect(dead_code, reason = "held to be dropped")] (GaugeGuard, InFlight));

impl ConfigSnapshot {
    pub(super) fn new(alive: &IntGauge) -> Self {
        Self(GaugeGuard::new(alive))
    }
}

impl ListenerConnections {
    pub(super) fn new(gauge: IntGauge, all: Counter) -> Self {
        Self { gauge, all }
    }

    /// Counts an open connection until the guard is dropped.
    pub fn count(&self) -> ConnectionInFlight {
        ConnectionInFlight((GaugeGuard::new(&self.gauge), self.all.count()))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let state = &self.0.0.state;
        if state.fetch_sub(ONE, Ordering::AcqRel) == ONE + DRAINING {
            self.0.0.drained.notify_waiters();
        }
    }
}

/// Counts what is in flight, and signals the end of the last one once it is drained.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The count, in steps of [`ONE`], and [`DRAINING`] in its lowest bit: the end of each one is a single operation.
    state: AtomicUsize,
    drained: Notify,
}

const DRAINING: usize = 1;
const ONE: usize = 2;

impl Counter {
    /// Counts one more until the guard is dropped.
    pub fn count(&self) -> InFlight {
        self.0.state.fetch_add(ONE, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// The number in flight.
    pub fn len(&self) -> usize {
        self.0.state.load(Ordering::Relaxed) / ONE
    }

    /// Returns once nothing is in flight.
    pub async fn drained(&self) {
        // gets every notification from here on, also before it is first polled
        let signal = self.0.drained.notified();
        if self.0.state.fetch_or(DRAINING, Ordering::AcqRel) >= ONE {
            signal.await;
        }
    }
}

/// One of a gauge, until dropped.
#[derive(Debug)]
struct GaugeGuard(IntGauge);

impl GaugeGuard {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
