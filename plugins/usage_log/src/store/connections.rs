//! How many connections to the database are in use, and how many there may be. What is counted is given back by `Drop`.

use plugin_api::constant_metric;
use prometheus::IntGauge;
use prometheus::core::Collector;

/// The connections of all stores together.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    in_use: IntGauge,
    limit: IntGauge,
}

/// So many of a gauge, until dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Counted {
    gauge: IntGauge,
    count: i64,
}

impl Connections {
    pub(super) fn new() -> Self {
        let gauge = |name: &str, help: &str| constant_metric(IntGauge::new(name, help));
        Self {
            in_use: gauge("tollgate_ledger_connections_in_use", "Connections to the database that the ledger uses now"),
            limit: gauge("tollgate_ledger_connections_limit", "Connections that the ledger may have: `pool.max`"),
        }
    }

    /// Counts a connection as in use.
    pub(super) fn one(&self) -> Counted {
        Counted::new(&self.in_use, 1)
    }

    /// Counts a pool that may have so many.
    pub(super) fn pool(&self, max: u32) -> Counted {
        Counted::new(&self.limit, max.into())
    }

    /// Both, to be shown.
    pub(super) fn all(&self) -> [&dyn Collector; 2] {
        [&self.in_use, &self.limit]
    }
}

impl Counted {
    fn new(gauge: &IntGauge, count: i64) -> Self {
        gauge.add(count);
        Self { gauge: gauge.clone(), count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.sub(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_given_back() {
        let connections = Connections::new();
        let (pool, one, other) = (connections.pool(8), connections.one(), connections.one());
        assert_eq!((connections.in_use.get(), connections.limit.get()), (2, 8));
        drop(one);
        assert_eq!((connections.in_use.get(), connections.limit.get()), (1, 8));
        drop((other, pool));
        assert_eq!((connections.in_use.get(), connections.limit.get()), (0, 0));
    }
}
