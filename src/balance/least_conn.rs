//! nginx's `least_conn`: the fewest requests in flight per weight; among equals, smooth weighted round robin.

use super::Turn;
use super::round_robin;

/// The server to take next; `None` if all were tried.
///
/// The loads are compared by cross-multiplication, so nothing is rounded. The round robin runs only when several
/// servers are equally loaded, and only those take part in it
/// (source: nginx, `ngx_http_upstream_least_conn_module`).
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    let mut best: Option<usize> = None;
    let mut tied = false;
    for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| !turn.tried) {
        match best.map(|best| load_order(turn, &turns[best])) {
            None | Some(std::cmp::Ordering::Less) => {
                best = Some(index);
                tied = false;
            }
            Some(std::cmp::Ordering::Equal) => tied = true,
            Some(std::cmp::Ordering::Greater) => {}
        }
    }
    let best = best?;
    if !tied {
        return Some(best);
    }
    let load = turns[best];
    round_robin::choose_among(turns, |turn| load_order(turn, &load).is_eq())
}

fn load_order(a: &Turn, b: &Turn) -> std::cmp::Ordering {
    (u128::from(a.in_flight) * u128::from(b.weight)).cmp(&(u128::from(b.in_flight) * u128::from(a.weight)))
}
