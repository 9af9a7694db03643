//! The bytes of a text that mean something in a string: its quote, backslashes, and control characters, many bytes at once.

use wide::u8x16;

/// Which of the bytes of a block are what, a bit for each, that of the first byte lowest.
#[derive(Clone, Copy, Default)]
pub(crate) struct Masks {
    pub(crate) quotes: u64,
    pub(crate) backslashes: u64,
    /// Bytes below 0x20, which must not stand in a string.
    pub(crate) controls: u64,
}

impl Masks {
    /// Of 16 bytes.
    #[inline]
    pub(crate) fn of_16(block: &[u8; 16]) -> Self {
        let bytes = u8x16::new(*block);
        let mask = |found: u8x16| u64::from(found.to_bitmask());
        Self {
            quotes: mask(bytes.simd_eq(u8x16::splat(b'"'))),
            backslashes: mask(bytes.simd_eq(u8x16::splat(b'\\'))),
            controls: mask(bytes.min(u8x16::splat(0x1F)).simd_eq(bytes)),
        }
    }

    /// Of 64 bytes.
    #[inline]
    pub(crate) fn of_64(block: &[u8; 64]) -> Self {
        let mut all = Self::default();
        for (number, part) in block.as_chunks::<16>().0.iter().enumerate() {
            let part = Self::of_16(part);
            all.quotes |= part.quotes << (16 * number);
            all.backslashes |= part.backslashes << (16 * number);
            all.controls |= part.controls << (16 * number);
        }
        all
    }

    /// Which bytes are escaped, where the block continues a string, and `carried` says whether its first byte is. Whether the first
    /// byte of the next block is.
    #[inline]
    pub(crate) fn escaped(&self, carried: bool) -> (u64, bool) {
        /// Every second bit, from the second one on.
        const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
        let carried = u64::from(carried);
        if self.backslashes | carried == 0 {
            return (0, false);
        }
        // A run of backslashes is pairs, and an escape where one is left. Subtracting the first bits of the runs carries through each
        // to its end, on even bits or on odd ones by where it began.
        let first = self.backslashes & !carried;
        let ends = ((first << 1) | ODD).wrapping_sub(first) ^ ODD;
        let is_carried = (ends & self.backslashes) >> 63 == 1;
        (ends ^ (self.backslashes | carried), is_carried)
    }
}

/// Which of 64 bytes are this one.
#[inline]
pub(crate) fn of_64(block: &[u8; 64], byte: u8) -> u64 {
    let mut all = 0;
    for (number, part) in block.as_chunks::<16>().0.iter().enumerate() {
        all |= u64::from(u8x16::new(*part).simd_eq(u8x16::splat(byte)).to_bitmask()) << (16 * number);
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_is_what_it_is(text in prop::collection::vec(
            prop_oneof![prop::sample::select(b"\\\\\\\"a\n".to_vec()), any::<u8>()],
            64,
        ), carried: bool) {
            let block = text.first_chunk::<64>().unwrap();
            let masks = Masks::of_64(block);
            let mut is_escaped = carried;
            let (escaped, is_carried) = masks.escaped(carried);
            for (at, byte) in block.iter().enumerate() {
                let bit = |mask: u64| mask >> at & 1 == 1;
                prop_assert_eq!(bit(masks.quotes), *byte == b'"');
                prop_assert_eq!(bit(masks.backslashes), *byte == b'\\');
                prop_assert_eq!(bit(masks.controls), *byte < 0x20);
                prop_assert_eq!(bit(of_64(block, b'a')), *byte == b'a');
                prop_assert_eq!(bit(escaped), is_escaped);
                is_escaped = *byte == b'\\' && !is_escaped;
            }
            prop_assert_eq!(is_carried, is_escaped);
        }
    }
}
