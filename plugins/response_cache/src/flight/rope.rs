//! A byte queue: bytes are added at the back and dropped at the front. Pieces are joined in blocks. The events of a stream differ by a few
//! bytes in their middle, so a piece is held as its difference from the one before it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use bytes::Bytes;

/// The smallest and the largest capacity of a block, in bytes; a larger piece gets a block of its own. Each block has the capacity
/// of all before it, within these bounds. A reader reads a block from its beginning.
const LEAST: usize = 512;
const MOST: usize = 4 << 10;
/// The overhead of a block, in bytes: its place in the list, which may have room for twice as many, and what the allocator adds to its two
/// parts.
const BESIDE: usize = 2 * size_of::<Block>() + 32;
/// The most pieces of a block.
const MOST_PIECES: usize = 64;
/// The lengths of pieces that are compared with the one before them, in bytes. Others are held as they are.
const COMPARED: RangeInclusive<usize> = 48..=1024;

#[derive(Debug, Default)]
pub(super) struct Rope {
    /// The blocks before the last one.
    full: VecDeque<Block>,
    /// The last block. It has no bytes if there is none.
    open: Block,
    /// The last piece, if it is compared with the next one.
    last: Vec<u8>,
    /// How many bytes were dropped at the front.
    gone: usize,
    length: usize,
    held: usize,
}

/// Pieces, one behind the other.
#[derive(Debug, Default)]
struct Block {
    /// Where the pieces differ from those before them.
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// How many bytes they have in all.
    length: usize,
}

/// A piece as it is held.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    /// How many bytes of the piece before it it begins with.
    start: u16,
    /// How many bytes of that it ends with.
    end: u16,
    /// How many bytes it has between them.
    middle: u32,
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

    /// How much memory a piece of this length adds at most, in bytes.
    pub(super) fn growth(&self, length: usize) -> usize {
        let last = if COMPARED.contains(&length) { length.saturating_sub(self.last.capacity()) } else { 0 };
        let open = self.open.growth();
        let block = || room_for(length, self.held + open) + FIRST_PIECES * size_of::<Piece>() + BESIDE;
        last + open + if self.open.has_room(length) { 0 } else { block() }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        self.length += piece.len();
        self.held -= self.open.held();
        let is_compared = COMPARED.contains(&piece.len());
        let mut rest = piece;
        if is_compared {
            let (start, end) = common(&self.last, piece);
            let middle = &piece[start..piece.len() - end];
            if self.open.has_room(middle.len()) {
                self.open.add(start, middle, end);
                rest = &[];
            }
        } else {
            let (here, behind) = piece.split_at(self.open.room_behind().min(piece.len()));
            self.open.append(here);
            rest = behind;
        }
        if !rest.is_empty() {
            self.begin_block(rest);
        }
        self.held += self.open.held();
        self.last.clear();
        if is_compared {
            let before = self.last.capacity();
            self.last.reserve_exact(piece.len());
            self.held += self.last.capacity() - before;
            self.last.extend_from_slice(piece);
        }
    }

    /// Begins a block with a piece.
    fn begin_block(&mut self, piece: &[u8]) {
        let mut full = std::mem::take(&mut self.open);
        if full.length > 0 {
            full.bytes.shrink_to_fit();
            self.held += full.held();
            self.full.push_back(full);
        }
        self.open.bytes.reserve_exact(room_for(piece.len(), self.held));
        self.open.add(0, piece, 0);
    }

    /// Drops the oldest bytes until its memory is at most this.
    pub(super) fn shrink(&mut self, most: usize) {
        while self.held > most && self.length > 0 {
            let block = self.full.pop_front().unwrap_or_else(|| std::mem::take(&mut self.open));
            self.gone += block.length;
            self.length -= block.length;
            self.held -= block.held();
        }
        if self.length == 0 {
            self.held -= std::mem::take(&mut self.last).capacity();
        }
    }

    /// At most so many bytes from this offset on, counted from the first byte ever added; `None` if that byte was dropped.
    pub(super) fn copy(&self, from: usize, most: usize) -> Option<Bytes> {
        let mut skip = from.checked_sub(self.gone)?;
        let mut copy = Vec::with_capacity(self.length.saturating_sub(skip).min(most));
        for block in self.full.iter().chain([&self.open]) {
            if skip >= block.length {
                skip -= block.length;
                continue;
            }
            block.read(|piece| {
                let bytes = piece.get(skip..).unwrap_or_default();
                skip = skip.saturating_sub(piece.len());
                copy.extend_from_slice(&bytes[..bytes.len().min(most - copy.len())]);
                copy.len() < most
            });
            if copy.len() == most {
                break;
            }
        }
        Some(copy.into())
    }
}

/// The capacity of a new block that begins with so many bytes, behind blocks with so much memory.
fn room_for(length: usize, held: usize) -> usize {
    length.max(held.clamp(LEAST, MOST))
}

/// How many pieces a block has room for at first.
const FIRST_PIECES: usize = 8;

impl Block {
    /// Its memory, in bytes; none if it has no bytes.
    fn held(&self) -> usize {
        if self.length == 0 { 0 } else { self.bytes.capacity() + self.pieces.capacity() * size_of::<Piece>() + BESIDE }
    }

    /// How much memory its next piece adds at most, if there is room for its bytes.
    fn growth(&self) -> usize {
        if self.pieces.len() < self.pieces.capacity() { 0 } else { self.pieces.len() * size_of::<Piece>() }
    }

    /// The free capacity for bytes.
    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// How many bytes may be put behind the last piece, or be another one.
    fn room_behind(&self) -> usize {
        let is_open = matches!(self.pieces.last(), Some(Piece { start: 0, end: 0, .. }));
        if is_open || self.pieces.len() < MOST_PIECES { self.room() } else { 0 }
    }

    /// Whether there is room for another piece, with so many bytes that are held.
    fn has_room(&self, length: usize) -> bool {
        self.room() >= length && self.pieces.len() < MOST_PIECES
    }

    /// Adds a piece: so many bytes of the one before it, some of its own, and so many from the end of that again. There must be room.
    fn add(&mut self, start: usize, middle: &[u8], end: usize) {
        if self.pieces.len() == self.pieces.capacity() {
            self.pieces.reserve_exact(self.pieces.len().max(FIRST_PIECES));
        }
        self.bytes.extend_from_slice(middle);
        self.length += start + middle.len() + end;
        // none is longer than an answer that may be stored
        self.pieces.push(Piece { start: start as u16, end: end as u16, middle: middle.len() as u32 });
    }

    /// Adds bytes that are not compared: to the last piece, if it has nothing of the one before it. There must be room.
    fn append(&mut self, bytes: &[u8]) {
        match self.pieces.last_mut() {
            Some(Piece { start: 0, end: 0, middle }) => {
                *middle += bytes.len() as u32;
                self.bytes.extend_from_slice(bytes);
                self.length += bytes.len();
            }
            _ if bytes.is_empty() => {}
            _ => self.add(0, bytes, 0),
        }
    }

    /// Shows its pieces one by one, as long as the reader wants more.
    fn read(&self, mut wants_more: impl FnMut(&[u8]) -> bool) {
        let (mut last, mut piece, mut rest) = (Vec::new(), Vec::new(), &*self.bytes);
        for &Piece { start, end, middle } in &self.pieces {
            let (here, behind) = rest.split_at(middle as usize);
            rest = behind;
            piece.clear();
            piece.extend_from_slice(&last[..start.into()]);
            piece.extend_from_slice(here);
            piece.extend_from_slice(&last[last.len() - usize::from(end)..]);
            if !wants_more(&piece) {
                return;
            }
            std::mem::swap(&mut last, &mut piece);
        }
    }
}

/// How many bytes two pieces have in common at their beginnings, and behind that at their ends.
fn common(one: &[u8], other: &[u8]) -> (usize, usize) {
    let eights = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    let start = 8 * eights.take_while(|(one, other)| one == other).count();
    let start = start + agreeing(one[start..].iter(), other[start..].iter());
    (start, agreeing(one[start..].iter().rev(), other[start..].iter().rev()))
}

fn agreeing<'b>(one: impl Iterator<Item = &'b u8>, other: impl Iterator<Item = &'b u8>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_of_one_byte_take_little_more_than_their_bytes() {
        let mut rope = Rope::default();
        for count in 1..=1_000_000 {
            let most = rope.held() + rope.growth(1);
            rope.push(b"x");
            assert_eq!(rope.length(), count);
            assert!(rope.held() <= most, "{count}: {} of {most}", rope.held());
            assert!(rope.held() <= 2 * count + 2048, "{count}: {}", rope.held());
        }
        assert!(rope.full.len() < 300);
    }

    #[test]
    fn events_that_are_alike_take_a_fraction_of_their_bytes() {
        let event = |at: usize| {
            format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\" word{at}\"}}}}\n\n"
            )
        };
        let (mut rope, mut all) = (Rope::default(), Vec::new());
        for at in 0..10_000 {
            rope.push(event(at).as_bytes());
            all.extend_from_slice(event(at).as_bytes());
        }
        assert!(rope.held() * 5 < all.len(), "{} of {}", rope.held(), all.len());
        assert_eq!(rope.copy(0, usize::MAX).unwrap(), all);
    }

    /// Pieces of all lengths, some of them like the one before.
    fn pieces() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
        let change = (0_usize..1200, 0_usize..1200, prop::collection::vec(any::<u8>(), 0..40));
        let piece = prop_oneof![
            prop::collection::vec(0_u8..2, 0..80).prop_map(Ok),
            (0_usize..3000, any::<u8>()).prop_map(|(length, byte)| Ok(vec![byte; length])),
            change.prop_map(Err),
        ];
        prop::collection::vec((piece, prop::bool::weighted(0.1)), 0..80).prop_map(|pieces| {
            let mut last = Vec::new();
            let mut piece = |piece: Result<Vec<u8>, (usize, usize, Vec<u8>)>| {
                last = match piece {
                    Ok(piece) => piece,
                    Err((start, end, middle)) => {
                        let (start, end) = (start.min(last.len()), end.min(last.len()));
                        [&last[..start], &middle, &last[last.len() - end..]].concat()
                    }
                };
                last.truncate(3000);
                last.clone()
            };
            pieces.into_iter().map(|(change, shrinks)| (piece(change), shrinks)).collect()
        })
    }

    proptest! {
        #[test]
        fn all_bytes_are_there_until_they_go(pieces in pieces(), at in any::<prop::sample::Index>()) {
            let (mut rope, mut all) = (Rope::default(), Vec::new());
            for (piece, shrinks) in pieces {
                all.extend_from_slice(&piece);
                let most = rope.held() + rope.growth(piece.len());
                rope.push(&piece);
                prop_assert!(rope.held() <= most);
                let blocks: usize = rope.full.iter().chain([&rope.open]).map(Block::held).sum();
                prop_assert_eq!(rope.held(), blocks + rope.last.capacity());
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
