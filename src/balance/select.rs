//! What is asked of a pool, and why it may have no server.

use std::time::Instant;

/// What is asked of a pool.
#[derive(Clone, Copy, Debug)]
pub struct SelectParams<'a> {
    /// Now.
    pub now: Instant,
    /// The servers that were tried, by id.
    pub tried: &'a [u64],
    /// The tokens asked for, where the rule weighs them.
    pub tokens: u64,
    /// What is hashed, where the rule does.
    pub key: Option<u64>,
    /// Only the addresses of this server of the YAML.
    pub server_index: Option<usize>,
    /// A further attempt is asked for, within a budget of this many percent of the requests.
    pub budget: Option<u64>,
}

impl SelectParams<'_> {
    /// For a first attempt, of which nothing is known.
    #[must_use]
    pub fn at(now: Instant) -> Self {
        Self { now, tried: &[], tokens: 0, key: None, server_index: None, budget: None }
    }
}

/// Why no server was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectError {
    /// None is left that could take it, except for those that take some again at the earliest then.
    NoServer(Option<Instant>),
    /// Those that could take it have as many as they may.
    Full(Option<Instant>),
    /// The queue is full.
    QueueFull,
    /// The time in the queue is over.
    QueueTimeout,
    /// The budget of further attempts is spent.
    BudgetExhausted,
}
