//! `hash`: consistent hashing with bounded loads. A key goes to the same server in every gateway unless that server is
//! overloaded; when servers come or go, only the keys that must move do.

use super::turn::Turn;

/// Selects a server for this key; `None` if none is eligible.
///
/// Servers are ordered by a number that each draws from the key (weighted rendezvous hashing). The first server wins whose
/// load is below `bound` times its share of the total load, this request included (Mirrokni, Thorup and Zadimoghaddam,
/// "Consistent Hashing with Bounded Loads").
#[expect(clippy::cast_precision_loss, reason = "loads and weights are far below 2^52")]
pub(super) fn choose(turns: &mut [Turn], key: u64, bound: f64) -> Option<usize> {
    let mut load = 1.0;
    let mut weight = 0.0;
    for turn in turns.iter().filter(|turn| turn.takes_part) {
        load += turn.load as f64;
        weight += turn.weight as f64;
    }
    // an integer is below a bound exactly if it is below the bound rounded up
    let has_room = |turn: &Turn| (turn.load as f64) < bound * load * turn.weight as f64 / weight;
    let mut best: Option<(usize, f64)> = None;
    for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.takes_part) {
        let least = best.map_or(0.0, |(_, draw)| draw);
        if let Some(draw) = draw_above(turn, key, least).filter(|_| has_room(turn)) {
            best = Some((index, draw));
        }
    }
    best.map(|(index, _)| index)
}

/// A hash of a text that is the same in every process (FNV-1a, 64 bits).
#[must_use]
pub fn of(text: &[u8]) -> u64 {
    text.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The draw of a server, if it is above `least`. Draws are `weight / -ln(uniform)`, so that a server has the largest one
/// with a probability proportional to its weight.
#[expect(clippy::cast_precision_loss, reason = "53 bits of the draw are enough")]
fn draw_above(turn: &Turn, key: u64, least: f64) -> Option<f64> {
    let bits = mixed(key ^ turn.hash) >> 11;
    let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    let weight = turn.weight as f64;
    // `-ln(u)` is never below `1 - u`, which usually spares the logarithm
    if weight <= least * (1.0 - uniform) {
        return None;
    }
    Some(weight / -uniform.ln()).filter(|draw| *draw > least)
}

/// Spreads every bit over all others (the finalizer of `splitmix64`).
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn turns(weights: &[u64]) -> Vec<Turn> {
        let turn = |(at, weight): (usize, &u64)| Turn::new(*weight, 1, of(format!("server {at}").as_bytes()));
        weights.iter().enumerate().map(turn).collect()
    }

    fn key(n: usize) -> u64 {
        of(format!("user {n}").as_bytes())
    }

    #[test]
    fn keys_spread_by_weight() {
        let mut turns = turns(&[3, 2, 1]);
        let mut counts = [0; 3];
        for n in 0..60_000 {
            counts[choose(&mut turns, key(n), 10.0).unwrap()] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([30_000, 20_000, 10_000]) {
            assert!((i32::abs(count - wanted)) < 600, "{counts:?}");
        }
    }

    #[test]
    fn a_text_hashes_as_everywhere() {
        // the vectors of FNV's authors
        assert_eq!(of(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(of(b"foobar"), 0x8594_4171_f739_67e8);
    }

    proptest! {
        #[test]
        fn when_a_server_goes_only_its_own_keys_move(weights in vec(1_u64..9, 2..9), gone in any::<prop::sample::Index>()) {
            let mut all = turns(&weights);
            let mut fewer = all.clone();
            let gone = gone.index(weights.len());
            fewer[gone].takes_part = false;
            for n in 0..200 {
                let before = choose(&mut all, key(n), 10.0).unwrap();
                let after = choose(&mut fewer, key(n), 10.0).unwrap();
                prop_assert!(after != gone && (before == gone || after == before));
            }
        }

        #[test]
        fn no_server_has_more_than_the_bound_allows(weights in vec(1_u64..9, 1..9), same in 0..10_usize, bound in 1.0..3.0_f64) {
            let mut turns = turns(&weights);
            let sum: u64 = weights.iter().sum();
            for n in 1..300_u64 {
                // one key of ten is everybody's
                let taken = choose(&mut turns, key(if n % 2 == 0 { same } else { n as usize }), bound).unwrap();
                turns[taken].load += 1;
                let most = (bound * n as f64 * turns[taken].weight as f64 / sum as f64).ceil();
                prop_assert!(turns[taken].load as f64 <= most, "{} of {n}, at most {most}", turns[taken].load);
            }
        }
    }
}
