//! nginx's smooth weighted round robin: in proportion to the weights and spread as evenly as they allow.

use super::turn::Turn;

/// Selects a server; `None` if none is eligible.
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    choose_among(turns, |_| true)
}

/// Selects among the servers for which `holds` is true; the others keep their counters.
///
/// A server that failed takes part with less than its weight and recovers by one step at each selection in which it is
/// eligible (nginx, `ngx_http_upstream_round_robin`).
pub(super) fn choose_among(turns: &mut [Turn], holds: impl Fn(&Turn) -> bool) -> Option<usize> {
    let mut best: Option<(usize, i64)> = None;
    let mut total = 0;
    for (index, turn) in turns.iter_mut().enumerate() {
        if !turn.takes_part || !holds(turn) {
            continue;
        }
        let weight = turn.weight.cast_signed();
        // below the effective weight during a slow start
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
