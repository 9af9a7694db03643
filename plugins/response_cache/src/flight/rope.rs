//! A byte queue: bytes are added at the back and dropped at the front. Pieces are joined in blocks. The events of a stream differ by a few
//! bytes in their middle, so a piece is held as its difference from the one before it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use bytes::Bytes;

/// The smallest and the largest capacity of a block, in bytes; a larger piece gets a block of its own. A block has room for a few more bytes
/// than the one before it used, or for twice as many where that had no room for [`MOST_PIECES`]. A reader reads a block from its beginning.
const LEAST: usize = 512;
const MOST: usize = 4 << 10;
/// The overhead of a block, in bytes: its place in the list, which may have room for twice as many, and what the allocator adds.
const BESIDE: usize = 2 * size_of::<Block>() + 16;
/// The most pieces of a block.
const MOST_PIECES: u32 = 64;
/// The lengths of pieces that are compared with the one before them, in bytes. Others are held as they are.
const COMPARED: RangeInclusive<usize> = 48..=1023;

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
    /// Each piece as a [`Header`] and bytes of its own.
    bytes: Vec<u8>,
    /// Where the header of the last piece stands.
    last: usize,
    pieces: u32,
    /// How many bytes the pieces have in all.
    length: usize,
}

/// How a piece is held, in front of the bytes that it does not have from the piece before it.
#[derive(Clone, Copy, Debug)]
struct Header {
    /// How many bytes of the piece before it it begins with.
    start: usize,
    /// How many bytes it has between its beginning and its end.
    middle: usize,
    /// How many bytes of the piece before it it ends with.
    end: usize,
}

impl Rope {
    /// The number of bytes.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Whether nothing was ever pushed.
    pub(super) fn is_new(&self) -> bool {
        self.length == 0 && self.gone == 0
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
        let has_room = self.open.has_room(length);
        last + if has_room { 0 } else { room_for(length, 2 * self.open.bytes.capacity()) + BESIDE }
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
                self.open.add(Header { start, middle: middle.len(), end }, middle);
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
        let room = self.open.room_of_next(piece.len());
        let mut full = std::mem::take(&mut self.open);
        if full.length > 0 {
            full.give_back_room();
            self.held += full.held();
            self.full.push_back(full);
        }
        self.open.bytes.reserve_exact(room);
        self.open.add(Header { start: 0, middle: piece.len(), end: 0 }, piece);
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

/// The capacity of a new block that begins with a piece of this length and is to have room for so many bytes.
fn room_for(length: usize, wanted: usize) -> usize {
    wanted.clamp(LEAST, MOST).max(length + Header::SIZE)
}

impl Header {
    /// Its own length, in bytes.
    const SIZE: usize = 4;
    /// How many bits each number has where there is something of the piece before; else the length has all but the first bit, which says so.
    const BITS: u32 = 10;
    const ALONE: u32 = 1 << 31;

    fn is_alone(self) -> bool {
        self.start == 0 && self.end == 0
    }

    /// None of its numbers has more bits than there are: a piece that is compared is short, and no answer that may be stored has 2 GiB.
    fn encode(self) -> [u8; Self::SIZE] {
        let [start, middle, end] = [self.start, self.middle, self.end].map(|number| number as u32);
        let bits =
            if self.is_alone() { Self::ALONE | middle } else { (start << Self::BITS | middle) << Self::BITS | end };
        bits.to_le_bytes()
    }

    fn decode(bytes: [u8; Self::SIZE]) -> Self {
        let bits = u32::from_le_bytes(bytes);
        let number = |at: u32| (bits >> at) as usize & ((1 << Self::BITS) - 1);
        if bits & Self::ALONE != 0 {
            return Self { start: 0, middle: (bits & !Self::ALONE) as usize, end: 0 };
        }
        Self { start: number(2 * Self::BITS), middle: number(Self::BITS), end: number(0) }
    }
}

impl Block {
    /// Its memory, in bytes; none if it has no bytes.
    fn held(&self) -> usize {
        if self.length == 0 { 0 } else { self.bytes.capacity() + BESIDE }
    }

    /// The capacity of the next block, which begins with a piece of this length.
    fn room_of_next(&self, length: usize) -> usize {
        let used = self.bytes.len();
        room_for(length, if self.pieces < MOST_PIECES { 2 * used } else { used + used / 8 })
    }

    /// Gives back the capacity that is free, if that is most of it: for less the allocator does not move the bytes.
    fn give_back_room(&mut self) {
        if self.bytes.len() < self.bytes.capacity() / 2 {
            self.bytes.shrink_to_fit();
        }
    }

    /// The free capacity, in bytes.
    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// How many bytes may be put behind the last piece, or be another one.
    fn room_behind(&self) -> usize {
        match self.last_header() {
            Some(last) if last.is_alone() => self.room(),
            _ if self.pieces < MOST_PIECES => self.room().saturating_sub(Header::SIZE),
            _ => 0,
        }
    }

    /// Whether there is room for another piece, with so many bytes that are held.
    fn has_room(&self, length: usize) -> bool {
        self.room() >= Header::SIZE + length && self.pieces < MOST_PIECES
    }

    /// Adds a piece: so many bytes of the one before it, some of its own, and so many from the end of that again. There must be room.
    fn add(&mut self, header: Header, middle: &[u8]) {
        self.last = self.bytes.len();
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(middle);
        self.pieces += 1;
        self.length += header.start + header.middle + header.end;
    }

    /// Adds bytes that are not compared: to the last piece, if it has nothing of the one before it. There must be room.
    fn append(&mut self, bytes: &[u8]) {
        match self.last_header() {
            _ if bytes.is_empty() => {}
            Some(last) if last.is_alone() => {
                let header = Header { middle: last.middle + bytes.len(), ..last };
                self.bytes[self.last..][..Header::SIZE].copy_from_slice(&header.encode());
                self.bytes.extend_from_slice(bytes);
                self.length += bytes.len();
            }
            _ => self.add(Header { start: 0, middle: bytes.len(), end: 0 }, bytes),
        }
    }

    /// The header of the last piece; `None` if there is no piece.
    fn last_header(&self) -> Option<Header> {
        self.bytes[self.last..].first_chunk().copied().map(Header::decode)
    }

    /// Shows its pieces one by one, as long as the reader wants more.
    fn read(&self, mut wants_more: impl FnMut(&[u8]) -> bool) {
        let (mut last, mut piece, mut rest) = (Vec::new(), Vec::new(), &*self.bytes);
        while let Some((header, behind)) = rest.split_first_chunk() {
            let Header { start, middle, end } = Header::decode(*header);
            let (here, behind) = behind.split_at(middle);
            rest = behind;
            piece.clear();
            piece.extend_from_slice(&last[..start]);
            piece.extend_from_slice(here);
            piece.extend_from_slice(&last[last.len() - end..]);
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
mod tests;
