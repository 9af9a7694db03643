//! What the operating system says of the process: CPU, memory, descriptors and threads from Prometheus' own collector, and its network and
//! its clock. CPU time is replaced: that collector reports whole seconds only.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily, MetricType};

use super::family::{counter, family, float_gauge};

const CPU_SECONDS: &str = "process_cpu_seconds_total";
/// What the network of the process has carried, since it was made.
const NETWORK: &str = "/proc/self/net/netstat";

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
        families.push(clock());
        families.extend(
            fs::read_to_string(NETWORK).ok().and_then(|text| Traffic::of(&text)).map(network).into_iter().flatten(),
        );
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

/// The clock, which decides when budgets begin anew and keys expire. Prometheus has its own beside it.
fn clock() -> MetricFamily {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let help = "The gateway's clock as it answers the scrape, in seconds since 1970";
    family("tollgate_time_seconds", help, MetricType::GAUGE, vec![float_gauge(Vec::new(), now)])
}

/// Bytes that a network has carried, with the heads of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traffic {
    received: u64,
    sent: u64,
}

impl Traffic {
    /// What the kernel says: a line of names, and one of numbers.
    fn of(netstat: &str) -> Option<Self> {
        let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
        let (names, numbers) = (lines.next()?, lines.next()?);
        let find = |wanted: &str| {
            let at = names.split(' ').position(|name| name == wanted)?;
            numbers.split(' ').nth(at)?.parse().ok()
        };
        Some(Self { received: find("InOctets")?, sent: find("OutOctets")? })
    }
}

/// Under the names that Prometheus' client libraries have for it.
fn network(traffic: Traffic) -> [MetricFamily; 2] {
    let one = |name: &str, help: &str, bytes| family(name, help, MetricType::COUNTER, vec![counter(Vec::new(), bytes)]);
    [
        one("process_network_receive_bytes_total", "Bytes received by the network of the process", traffic.received),
        one("process_network_transmit_bytes_total", "Bytes sent by the network of the process", traffic.sent),
    ]
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

    #[test]
    fn the_networks_bytes_are_read_by_their_names() {
        let text = "TcpExt: A InOctets\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 7 123 456\n";
        assert_eq!(Traffic::of(text), Some(Traffic { received: 123, sent: 456 }));
        assert_eq!(Traffic::of("IpExt: InOctets\nIpExt: 1\n"), None);
        assert_eq!(Traffic::of(""), None);
        assert!(Traffic::of(&fs::read_to_string(NETWORK).unwrap()).is_some());
    }
}
