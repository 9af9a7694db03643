//! A byte queue: bytes are added at the back and dropped at the front. Pieces are joined in blocks, so that the memory is little
//! more than the bytes.

use std::collections::VecDeque;

use bytes::Bytes;

/// The smallest and the largest capacity of a block, in bytes; a larger piece gets a block of its own. Each block has the capacity
/// of all before it, within these bounds.
const LEAST: usize = 512;
const MOST: usize = 16 << 10;
/// The overhead of a block, in bytes: its place in the list, and the allocator's rounding.
const BESIDE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Rope {
    blocks: VecDeque<Vec<u8>>,
    /// How many bytes were dropped at the front.
    gone: usize,
    length: usize,
    held: usize,
}

impl Rope {
    /// The number of bytes.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// How many bytes were dropped.
    pub(super) fn gone(&self) -> usize {
        self.gone
    }

    /// Its memory, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// How much memory a piece of this length would add, in bytes.
    pub(super) fn growth(&self, length: usize) -> usize {
        self.room_for(length.saturating_sub(self.room())).map_or(0, |room| room + BESIDE)
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        let (here, rest) = piece.split_at(self.room().min(piece.len()));
        let block = self.room_for(rest.len());
        if let Some(last) = self.blocks.back_mut() {
            last.extend_from_slice(here);
        }
        if let Some(room) = block {
            let mut block = Vec::with_capacity(room);
            block.extend_from_slice(rest);
            self.held += block.capacity() + BESIDE;
            self.blocks.push_back(block);
        }
        self.length += piece.len();
    }

    /// Drops the oldest bytes until its memory is at most this.
    pub(super) fn shrink(&mut self, most: usize) {
        while self.held > most
            && let Some(block) = self.blocks.pop_front()
        {
            self.gone += block.len();
            self.length -= block.len();
            self.held -= block.capacity() + BESIDE;
        }
    }

    /// At most so many bytes from this offset on, counted from the first byte ever added; `None` if that byte was dropped.
    pub(super) fn copy(&self, from: usize, most: usize) -> Option<Bytes> {
        let mut skip = from.checked_sub(self.gone)?;
        let mut copy = Vec::with_capacity(self.length.saturating_sub(skip).min(most));
        for block in &self.blocks {
            let bytes = block.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(block.len());
            copy.extend_from_slice(&bytes[..bytes.len().min(most - copy.len())]);
            if copy.len() == most {
                break;
            }
        }
        Some(copy.into())
    }

    /// The free capacity of the last block.
    fn room(&self) -> usize {
        self.blocks.back().map_or(0, |last| last.capacity() - last.len())
    }

    /// The capacity of a new block that begins with so many bytes; 0 without any.
    fn room_for(&self, length: usize) -> Option<usize> {
        (length > 0).then(|| length.max(self.length.clamp(LEAST, MOST)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_of_one_byte_take_little_more_than_their_bytes() {
        let mut rope = Rope::default();
        for count in 1..=1_000_000 {
            let grown = rope.held() + rope.growth(1);
            rope.push(b"x");
            assert_eq!((rope.length(), rope.held()), (count, grown));
            assert!(rope.held() <= 2 * count + 1024, "{count}: {}", rope.held());
        }
        assert!(rope.blocks.len() < 100);
    }

    proptest! {
        #[test]
        fn all_bytes_are_there_until_they_go(
            pieces in prop::collection::vec((0_usize..3000, any::<bool>()), 0..60),
            at in any::<prop::sample::Index>(),
        ) {
            let (mut rope, mut all) = (Rope::default(), Vec::new());
            for (number, (length, shrinks)) in pieces.into_iter().enumerate() {
                let piece = vec![number as u8; length];
                all.extend_from_slice(&piece);
                rope.push(&piece);
                if shrinks {
                    rope.shrink(10_000);
                    prop_assert!(rope.held() <= 10_000);
                }
                prop_assert_eq!(rope.gone() + rope.length(), all.len());
            }
            let from = at.index(all.len() + 1);
            let wanted = (from >= rope.gone()).then(|| &all[from..all.len().min(from + 5000)]);
            let copied = rope.copy(from, 5000);
            prop_assert_eq!(copied.as_deref(), wanted);
            rope.shrink(0);
            prop_assert_eq!((rope.held(), rope.length(), rope.gone()), (0, 0, all.len()));
        }
    }
}
