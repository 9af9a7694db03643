//! CRC-32 as zlib has it.

use crc32fast::Hasher;

/// The checksum of bytes behind others that have the checksum `before`; 0 where there are none.
pub(crate) fn checksum(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(before);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zlib_rs::crc32::crc32;

    use super::*;

    #[test]
    fn the_checksum_of_the_standard_s_example_is_its() {
        assert_eq!(checksum(0, b"123456789"), 0xCBF4_3926);
    }

    proptest! {
        #[test]
        fn a_checksum_is_that_of_zlib(before: u32, bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            prop_assert_eq!(checksum(before, &bytes), crc32(before, &bytes));
        }
    }
}
