//! A server of a pool, as an operator sees it.

use std::sync::Arc;

use super::{Server, State};

/// A server of a pool, as an operator sees it.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// The server.
    pub server: Arc<Server>,
    /// Its name in logs and metrics.
    pub label: Arc<str>,
    /// Its place among the servers in the YAML.
    pub server_index: usize,
    /// The weight in the YAML, of which it has an equal share with the other addresses of its name.
    pub weight: u32,
    /// With how many addresses it shares that weight, itself included.
    pub shares: usize,
    /// Its share of the weight at the last choice: lower after failures, and in a slow start.
    pub effective_weight: f64,
    /// The most requests in flight; 0: any number.
    pub max_conns: u32,
    /// Whether it only takes what no other can.
    pub backup: bool,
    /// What it is now.
    pub state: State,
}
