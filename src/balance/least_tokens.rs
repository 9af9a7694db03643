//! `least_tokens`: the fewest tokens asked for per weight by the requests in flight; among equals by turns.

use super::least_conn;
use super::turn::Turn;

/// What a request counts as that does not say how many tokens it wants.
pub const ASSUMED_TOKENS: u64 = 4096;

/// The server to take next, by loads that are tokens; `None` if none takes part.
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    least_conn::choose(turns)
}
