//! nginx's smooth weighted round robin: in proportion to the weights, and as evenly spread as they allow.

use super::turn::Turn;

/// The server to take next; `None` if none takes part.
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    choose_among(turns, |_| true)
}

/// The same among those for which this holds; the others keep their place in the round.
///
/// A server that has failed goes round by less than its weight and recovers a step at every choice it takes part in
/// (source: nginx, `ngx_http_upstream_round_robin`).
pub(super) fn choose_among(turns: &mut [Turn], holds: impl Fn(&Turn) -> bool) -> Option<usize> {
    let mut best: Option<(usize, i64)> = None;
    let mut total = 0;
    for (index, turn) in turns.iter_mut().enumerate() {
        if !turn.takes_part || !holds(turn) {
            continue;
        }
        let weight = turn.weight.cast_signed();
        // less than that while it starts slowly
        let goes_by = turn.effective.min(weight);
        turn.current += goes_by;
        total += goes_by;
        if turn.effective < weight {
            turn.effective = (turn.effective + turn.unit).min(weight);
        }
        if best.is_none_or(|(_, current)| turn.current > current) {
            best = Some((index, turn.current));
        }
    }
    let (best, _) = best?;
    turns[best].current -= total;
    Some(best)
}
