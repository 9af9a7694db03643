//! nginx's `least_conn`: the fewest requests in flight per weight; among equals, smooth weighted round robin.

use std::cmp::Ordering;

use super::round_robin;
use super::turn::Turn;

/// The server to take next; `None` if none takes part.
///
/// The loads are compared by cross-multiplication, so nothing is rounded. The round robin runs only when several
/// servers are equally loaded, and only those take part in it
/// (source: nginx, `ngx_http_upstream_least_conn_module`).
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    let mut best: Option<usize> = None;
    let mut tied = false;
    for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.takes_part) {
        match best.map(|best| load_order(turn, &turns[best])) {
            None | Some(Ordering::Less) => {
                best = Some(index);
                tied = false;
            }
            Some(Ordering::Equal) => tied = true,
            Some(Ordering::Greater) => {}
        }
    }
    let best = best?;
    if !tied {
        return Some(best);
    }
    let load = turns[best];
    round_robin::choose_among(turns, |turn| load_order(turn, &load).is_eq())
}

fn load_order(a: &Turn, b: &Turn) -> Ordering {
    (u128::from(a.load) * u128::from(b.weight)).cmp(&(u128::from(b.load) * u128::from(a.weight)))
}
