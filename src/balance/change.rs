//! Changes of a server's state: the one place where they are told, each with one line.

use std::time::Duration;

use log::{info, warn};

use super::{FailureClass, Server};

/// What has become of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange<'a> {
    /// It failed too often and is left out.
    Ejected {
        /// For how long.
        lasts: Duration,
        /// The failure that did it.
        after: FailureClass,
        /// Failures since its last good answer.
        in_a_row: u32,
    },
    /// It has answered well and takes its share again.
    Returned,
    /// Its checks succeed.
    Healthy,
    /// Its checks fail, the last one in this way; it takes no requests.
    Unhealthy(&'a str),
    /// It is not checked any more, and was unhealthy.
    Unchecked,
}

impl StateChange<'_> {
    /// Tells the operator.
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
