//! What all requests of the process are charged to: the budget of heads beside [`plugin_api::BODIES`], and what was too large for
//! any. How large they are: [`Sizes`](crate::config::Sizes).

use std::sync::atomic::{AtomicU64, Ordering};

use plugin_api::Budget;

/// The budget for heads of requests, and for what each stream of an HTTP/2 connection takes.
pub static HEADS: Budget = Budget::new();

/// Heads that were larger than `max_header`, refused by this process.
static LARGE_HEADS: AtomicU64 = AtomicU64::new(0);

/// What of a head needs no charge: it is part of what a connection takes anyway.
pub const FREE_HEAD: usize = 8 << 10;
/// Counts a head that was too large.
pub fn count_large_head() {
    LARGE_HEADS.fetch_add(1, Ordering::Relaxed);
}

/// Heads that were too large so far.
#[must_use]
pub fn large_heads() -> u64 {
    LARGE_HEADS.load(Ordering::Relaxed)
}
