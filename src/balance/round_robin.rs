//! nginx's smooth weighted round robin: in proportion to the weights, and as evenly spread as they allow.

use super::Turn;

/// The server to take next; `None` if all were tried.
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    choose_among(turns, |_| true)
}

/// The same among the servers that take part; the others keep their place in the round.
pub(super) fn choose_among(turns: &mut [Turn], takes_part: impl Fn(&Turn) -> bool) -> Option<usize> {
    let mut best: Option<usize> = None;
    let mut total = 0;
    for index in 0..turns.len() {
        if turns[index].tried || !takes_part(&turns[index]) {
            continue;
        }
        let weight = i64::from(turns[index].weight);
        turns[index].current += weight;
        total += weight;
        if best.is_none_or(|best| turns[index].current > turns[best].current) {
            best = Some(index);
        }
    }
    let best = best?;
    turns[best].current -= total;
    Some(best)
}
