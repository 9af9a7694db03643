//! Changes of a server's state, and the log line of each.

use std::time::Duration;

use log::{info, warn};

use super::{FailureClass, Server};

/// A change of a server's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange<'a> {
    /// It failed too often and takes no requests for a while.
    Ejected {
        /// For how long.
        lasts: Duration,
        /// The failure that did it.
        after: FailureClass,
        /// Consecutive failures.
        in_a_row: u32,
    },
    /// It answered again and takes its share of requests.
    Returned,
    /// Its health checks pass.
    Healthy,
    /// Its health checks fail, the last one for this reason. It takes no requests.
    Unhealthy(&'a str),
    /// It was unhealthy and is no longer checked.
    Unchecked,
}

impl StateChange<'_> {
    /// Writes the log line.
    pub(super) fn log(self, server: &Server) {
        let (upstream, name, socket) = (server.upstream(), server.address(), server.socket());
        match self {
            Self::Ejected { lasts, after, in_a_row } => {
                warn!(upstream, server = name, address:% = socket, failure = after.word(), in_a_row,
                    seconds = lasts.as_secs_f64(); "server ejected: it failed; others take its requests");
            }
            Self::Returned => info!(upstream, server = name, address:% = socket; "server returned: it answers again"),
            Self::Healthy => info!(upstream, server = name, address:% = socket; "server healthy: its checks succeed"),
            Self::Unhealthy(found) => warn!(upstream, server = name, address:% = socket, found;
                "server unhealthy: its checks fail; others take its requests"),
            Self::Unchecked => info!(upstream, server = name, address:% = socket;
                "server unchecked: it was unhealthy, and takes requests again where it is still in use"),
        }
    }
}
