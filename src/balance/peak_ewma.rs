//! `peak_ewma`: the shortest expected time to first byte, from the average of each server and its requests in flight.

use super::round_robin;
use super::turn::Turn;

/// Assumed time of a server that has requests in flight but no answer yet, in seconds. It keeps further requests away until
/// the first answer.
const UNKNOWN: f64 = 1.0;

/// Selects a server; `None` if none is eligible. Idle servers without an average come first, in turn.
pub(super) fn choose(turns: &mut [Turn]) -> Option<usize> {
    let mut best = None;
    for turn in turns.iter_mut().filter(|turn| turn.takes_part) {
        turn.wait = cost(turn);
        best = Some(best.map_or(turn.wait, |best: f64| best.min(turn.wait)));
    }
    let best = best?;
    round_robin::choose_among(turns, |turn| turn.wait <= best)
}

#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn cost(turn: &Turn) -> f64 {
    let wait = if turn.wait == 0.0 && turn.load > 0 { UNKNOWN } else { turn.wait };
    wait * (turn.load + 1) as f64 / turn.weight as f64
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn turn(wait: f64, load: u64, weight: u64) -> Turn {
        Turn { wait, load, ..Turn::new(weight, 1, 0) }
    }

    #[test]
    fn the_shortest_wait_wins_and_what_is_unknown_is_tried_once_at_a_time() {
        assert_eq!(choose(&mut [turn(0.4, 0, 1), turn(0.1, 2, 1), turn(0.5, 0, 1)]), Some(1));
        assert_eq!(choose(&mut [turn(0.4, 0, 1), turn(0.1, 9, 1)]), Some(0), "by what is in flight");
        assert_eq!(choose(&mut [turn(0.2, 1, 1), turn(0.2, 1, 2)]), Some(1), "by weight");
        assert_eq!(choose(&mut [turn(0.1, 0, 1), turn(0.0, 0, 1)]), Some(1));
        assert_eq!(choose(&mut [turn(0.1, 0, 1), turn(0.0, 1, 1)]), Some(0));
    }

    #[test]
    fn equals_take_turns() {
        // those of which nothing is known yet
        let mut turns = [turn(0.0, 0, 2), turn(0.0, 0, 1)];
        let order: Vec<_> = (0..6).filter_map(|_| choose(&mut turns)).collect();
        assert_eq!(order, [0, 1, 0, 0, 1, 0]);
    }

    proptest! {
        #[test]
        fn nobody_with_a_shorter_wait_is_passed_over(
            all in vec((0.0..9.0_f64, 0..50_u64, 1..9_u64, any::<bool>()), 1..9),
        ) {
            let turn = |(wait, load, weight, takes_part)| Turn { takes_part, ..turn(wait, load, weight) };
            let mut turns: Vec<Turn> = all.into_iter().map(turn).collect();
            let before = turns.clone();
            match choose(&mut turns) {
                None => prop_assert!(turns.iter().all(|turn| !turn.takes_part)),
                Some(taken) => {
                    prop_assert!(turns[taken].takes_part);
                    let others = before.iter().filter(|turn| turn.takes_part);
                    prop_assert!(others.into_iter().all(|other| cost(other) >= cost(&before[taken])));
                }
            }
        }
    }
}
