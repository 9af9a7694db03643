//! The parameters of a selection, and the reasons why it may find no server.

use std::time::Instant;

/// The parameters of a selection.
#[derive(Clone, Copy, Debug)]
pub struct SelectParams<'a> {
    /// The current time.
    pub now: Instant,
    /// Ids of the servers to leave out, because earlier attempts used them. Empty for a first attempt.
    pub tried: &'a [u64],
    /// Output tokens that the request asks for; weighed by `least_tokens`.
    pub tokens: u64,
    /// The hash of the request's key; used by `hash`.
    pub key: Option<u64>,
    /// Selects among the addresses of this entry of `servers` only.
    pub server_index: Option<usize>,
    /// For a further attempt: the retry budget, in percent of the recent requests.
    pub budget: Option<u64>,
}

impl SelectParams<'_> {
    /// Parameters of a first attempt of which nothing else is known.
    #[must_use]
    pub fn at(now: Instant) -> Self {
        Self { now, tried: &[], tokens: 0, key: None, server_index: None, budget: None }
    }
}

/// Why no server was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectError {
    /// No server is left that could take the request. The time is that at which the first ejected one may be tried again.
    NoServer(Option<Instant>),
    /// Every server that could take the request is at its `max_conns`. The time is as above.
    Full(Option<Instant>),
    /// The queue is full.
    QueueFull,
    /// The request waited in the queue for its full timeout.
    QueueTimeout,
    /// The retry budget is exhausted.
    BudgetExhausted,
}
