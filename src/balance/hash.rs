//! `hash`: the same key to the same server, wherever it is chosen, as long as that server is not overloaded. When servers
//! come or go, only the keys move that must.

use super::turn::Turn;

/// The server to take next for this key; `None` if none takes part.
///
/// Every server draws a number from the key, and the servers stand in the order of their draws (weighted rendezvous
/// hashing). The first is taken that has less in flight than `bound` times its share of all that is in flight, this
/// request included (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads").
#[expect(clippy::cast_precision_loss, reason = "loads and weights are far below 2^52")]
pub(super) fn choose(turns: &mut [Turn], key: u64, bound: f64) -> Option<usize> {
    let mut load = 1.0;
    let mut weight = 0.0;
    for turn in turns.iter().filter(|turn| turn.takes_part) {
        load += turn.load as f64;
        weight += turn.weight as f64;
    }
    let has_room = |turn: &Turn| (turn.load as f64) < (bound * load * turn.weight as f64 / weight).ceil();
    let draws = turns.iter().enumerate().filter(|(_, turn)| turn.takes_part && has_room(turn));
    let best = draws.map(|(index, turn)| (draw(turn, key), index)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, index)| index)
}

/// A number of a text that is the same in every process (FNV-1a, 64 bits).
#[must_use]
pub fn of(text: &[u8]) -> u64 {
    text.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The larger of two draws belongs to the heavier server in proportion to the weights: `-weight / ln(uniform)`.
#[expect(clippy::cast_precision_loss, reason = "53 bits of the draw are enough")]
fn draw(turn: &Turn, key: u64) -> f64 {
    let bits = mixed(key ^ turn.hash) >> 11;
    let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    turn.weight as f64 / -uniform.ln()
}

/// Spreads every bit over all others (the finalizer of `splitmix64`).
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
