//! nginx's `least_conn`: the fewest requests in flight per weight; ties by smooth weighted round robin.

use std::cmp::Ordering;

use super::round_robin;
use super::turn::Turn;

/// Selects a server; `None` if none is eligible.
///
/// Loads are compared by cross-multiplication, so nothing is rounded. The round robin runs only among servers that tie
/// (nginx, `ngx_http_upstream_least_conn_module`).
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    let mut best: Option<(usize, Load)> = None;
    let mut tied = false;
    for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.takes_part) {
        let load = Load::of(turn);
        match best.map(|(_, best)| load.order(best)) {
            None | Some(Ordering::Less) => {
                best = Some((index, load));
                tied = false;
            }
            Some(Ordering::Equal) => tied = true,
            Some(Ordering::Greater) => {}
        }
    }
    let (best, load) = best?;
    if !tied {
        return Some(best);
    }
    round_robin::choose_among(turns, |turn| Load::of(turn).order(load).is_eq())
}

/// A load and the weight it counts against.
#[derive(Clone, Copy)]
struct Load {
    load: u64,
    weight: u64,
}

impl Load {
    fn of(turn: &Turn) -> Self {
        Self { load: turn.load, weight: turn.weight }
    }

    fn order(self, other: Self) -> Ordering {
        (u128::from(self.load) * u128::from(other.weight)).cmp(&(u128::from(other.load) * u128::from(self.weight)))
    }
}
