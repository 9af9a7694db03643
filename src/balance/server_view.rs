//! A server of a pool as metrics and the admin API show it.

use std::sync::Arc;

use super::{Server, State};

/// A server of a pool as metrics and the admin API show it.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// The server.
    pub server: Arc<Server>,
    /// The name in logs and metrics.
    pub label: Arc<str>,
    /// Index of the server's entry in the upstream's `servers`.
    pub server_index: usize,
    /// The weight in the YAML. The addresses of one name share it equally.
    pub weight: u32,
    /// The number of addresses that share that weight, this one included.
    pub shares: usize,
    /// The weight at the last selection: lower after failures and during a slow start.
    pub effective_weight: f64,
    /// The most requests in flight; 0: no limit.
    pub max_conns: u32,
    /// Whether it takes only requests that no other server can take.
    pub backup: bool,
    /// Its current state.
    pub state: State,
}
