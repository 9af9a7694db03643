//! What a gateway asks the shared count of a limit, and what that answers.

/// A report with a request, of one gateway to the shared count of one limit.
///
/// What is used is told as a sum since the beginning, so that a report that came twice, or whose answer was lost, counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Its number. One that comes after a later one is not heeded.
    pub seq: u64,
    /// Net use since the beginning.
    pub total: i64,
    /// Net use that is known to have been counted.
    pub acked: i64,
    /// What the gateway has of its lease and goes on with; granted in any case.
    pub keep: u64,
    /// What its lease has to be. Less is of no use, and refused.
    pub need: u64,
    /// What other calls wait for, beyond that. As much as there is.
    pub waiting: u64,
    /// What it would have in advance. A part of what is left over.
    pub advance: u64,
    /// Of a window: its first second, and the first behind it.
    pub window: Option<(i64, i64)>,
    /// When it was made, in nanoseconds of the gateway's own clock.
    pub sent: u64,
}

/// The answer of the shared count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whether what was needed is there.
    pub is_granted: bool,
    /// The gateway's lease now.
    pub amount: u64,
    /// What nobody has used or leased.
    pub free: u64,
    /// What was used, of a bucket without what has drained.
    pub used: u64,
    /// What gateways have leased together.
    pub leased: u64,
    /// Gateways that have a lease, with this one.
    pub gateways: u64,
}
