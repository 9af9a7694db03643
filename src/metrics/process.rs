//! The metrics of the process, from Prometheus' own collector. CPU time is replaced: that collector reports whole seconds only.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};

const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// Collects them.
pub(super) struct Process(ProcessCollector);

impl Process {
    pub(super) fn new() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return families };
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let used = seconds(usage.user_time()) + seconds(usage.system_time());
        for family in families.iter_mut().filter(|family| family.name() == CPU_SECONDS) {
            for metric in family.mut_metric() {
                let mut counter = Counter::default();
                counter.set_value(used);
                metric.set_counter(counter);
            }
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds() -> f64 {
        let families = Process::new().collect();
        families
            .iter()
            .find(|family| family.name() == CPU_SECONDS)
            .map(|family| family.get_metric()[0].get_counter().get_value())
            .unwrap()
    }

    #[test]
    fn cpu_time_has_fractions_of_a_second() {
        let before = seconds();
        let mut after = before;
        // uses CPU time until the metric shows it
        while after == before {
            after = seconds();
        }
        assert!(after - before < 1.0, "from {before} to {after}");
    }
}
