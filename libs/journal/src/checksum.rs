//! CRC-32 as zlib has it. What is long goes to `zlib_rs`, which is made for that; most of what a journal sums up is short.

use zlib_rs::crc32::crc32;

/// From so many bytes on, `zlib_rs` is as fast.
const LONG: usize = 1024;
/// What a byte makes of the sum, with so many bytes behind it.
static TABLES: [[u32; 256]; 8] = tables();

/// The checksum of bytes behind others that have the checksum `before`; 0 where there are none.
pub(crate) fn checksum(before: u32, bytes: &[u8]) -> u32 {
    if bytes.len() >= LONG {
        return crc32(before, bytes);
    }
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut sum = !before;
    for eight in eights {
        let [a, b, c, d] = (sum ^ u32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]])).to_le_bytes();
        let places = [a, b, c, d, eight[4], eight[5], eight[6], eight[7]];
        sum = 0;
        for (byte, table) in places.into_iter().zip(TABLES.iter().rev()) {
            sum ^= table[usize::from(byte)];
        }
    }
    for byte in rest {
        let [low, ..] = sum.to_le_bytes();
        sum = sum >> 8 ^ TABLES[0][usize::from(low ^ byte)];
    }
    !sum
}

const fn tables() -> [[u32; 256]; 8] {
    /// The polynomial, its lowest power first.
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let mut tables = [[0; 256]; 8];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut sum = byte;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte as usize] = sum;
        byte += 1;
    }
    let mut place = 1;
    while place < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[place - 1][byte];
            tables[place][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        place += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_of_the_standard_s_example_is_its() {
        assert_eq!(checksum(0, b"123456789"), 0xCBF4_3926);
    }

    proptest! {
        #[test]
        fn a_checksum_is_that_of_zlib(before: u32, bytes in proptest::collection::vec(any::<u8>(), 0..2 * LONG)) {
            prop_assert_eq!(checksum(before, &bytes), crc32(before, &bytes));
        }
    }
}
