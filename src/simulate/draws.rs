//! The random numbers of one call, from the seed and the number of the call alone: runs repeat. Not for secrets.

/// 2⁶⁴ divided by the golden ratio: the step of `SplitMix64` (Steele, Lea, Flood 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Letters and digits of ids, without those that are easily mistaken for each other.
const ALPHABET: [u8; 32] = *b"abcdefghjkmnpqrstuvwxyz123456789";

/// What one draw decides. Draws of different purposes never meet.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Refusal = 1,
    Abort,
    Id,
    Words,
    Numbers,
    Expiry,
    BatchError,
}

/// The source of a call's random numbers: any of them, in any order, as often as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draws(u64);

impl Draws {
    /// The draws of the `number`-th call under a seed.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Self(mix(mix(seed).wrapping_add(number.wrapping_mul(STEP))))
    }

    /// The `index`-th number drawn for a purpose.
    pub(super) fn get(self, purpose: Purpose, index: u64) -> u64 {
        mix(self.0.wrapping_add((purpose as u64) << 56).wrapping_add(index.wrapping_mul(STEP)))
    }

    /// The id of what this call makes. All ids of a call end alike, so that they are easy to follow through a log.
    pub(super) fn id(self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 24);
        id.push_str(prefix);
        for half in 0..2 {
            let mut bits = self.get(Purpose::Id, half);
            for _ in 0..12 {
                id.push(char::from(ALPHABET[(bits & 31) as usize]));
                bits >>= 5;
            }
        }
        id
    }
}

/// The output function of `SplitMix64`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_and_number_draw_the_same() {
        assert_eq!(Draws::new(7, 3), Draws::new(7, 3));
        assert_eq!(Draws::new(7, 3).id("msg_"), Draws::new(7, 3).id("msg_"));
        assert_ne!(Draws::new(7, 3), Draws::new(8, 3));
    }

    #[test]
    fn ids_of_a_long_run_are_all_different() {
        let ids: HashSet<String> = (0..20_000).map(|number| Draws::new(1, number).id("req_")).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id.len() == 28));
    }
}
