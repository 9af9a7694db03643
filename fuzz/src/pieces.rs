//! Random choices that depend on an input alone, so that an input is the whole of a finding, and inputs are plain texts.

/// Pseudo-random numbers (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers that depend on this input.
    pub fn of(input: &[u8]) -> Self {
        // FNV-1a
        let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash | 1)
    }

    /// A number below this one, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (number as usize) % end
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// The bytes in pieces: many of one byte, few of them long, now and then an empty one.
pub fn pieces<'a>(bytes: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let longest = [1, 3, 16, 200, bytes.len().max(1)][random.below(5)];
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.below(longest + 1).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
