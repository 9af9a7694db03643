//! `peak_ewma`: the shortest wait to expect for a first byte, by what waits have been and by what is in flight.

use super::round_robin;
use super::turn::Turn;

/// What a server is taken to need that has requests and has never answered one, in seconds: it gets no more until it has.
const UNKNOWN: f64 = 1.0;

/// The server to take next; `None` if none takes part. Those of which nothing is known and that are idle come first, by
/// turns.
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    let best = turns.iter().filter(|turn| turn.takes_part).map(cost).min_by(f64::total_cmp)?;
    round_robin::choose_among(turns, |turn| cost(turn) <= best)
}

#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn cost(turn: &Turn) -> f64 {
    let wait = if turn.wait == 0.0 && turn.load > 0 { UNKNOWN } else { turn.wait };
    wait * (turn.load + 1) as f64 / turn.weight as f64
}
