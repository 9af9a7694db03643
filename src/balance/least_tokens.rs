//! `least_tokens`: the fewest output tokens asked for by the requests in flight, per weight; ties in turn.

use super::least_conn;
use super::turn::Turn;

/// Tokens that a request counts as if it sets no limit.
pub const ASSUMED_TOKENS: u64 = 4096;

/// Selects a server by loads that are tokens; `None` if none is eligible.
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    least_conn::choose(turns)
}
