//! The ledger's metrics, as benches read them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plugin_api::Shared as _;
use prometheus::core::Collector;
use usage_log::Ledgers;

/// How long a figure may take to arrive, and how often to look.
const DEADLINE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(5);

/// The metrics of a process's ledgers.
pub struct Metrics(Box<dyn Collector>);

impl Metrics {
    /// Those of these ledgers.
    pub fn new(ledgers: &Arc<Ledgers>) -> Self {
        Self(ledgers.collectors().remove(0))
    }

    /// The sum of a figure.
    pub fn of(&self, name: &str) -> f64 {
        let families = self.0.collect();
        let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        metrics.map(|metric| metric.get_gauge().get_value() + metric.get_counter().get_value()).sum()
    }

    /// Waits until the sum of a figure is at least so large.
    pub fn until(&self, name: &str, at_least: u64) {
        let end = Instant::now() + DEADLINE;
        while self.of(name) < at_least as f64 {
            assert!(Instant::now() < end, "{name} did not come to {at_least}");
            thread::sleep(TICK);
        }
    }
}
