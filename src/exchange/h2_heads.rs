//! The frames of an HTTP/2 connection as far as heads are concerned: whether one has begun that has not ended (RFC 9113
//! §6.10). The h2 crate holds its bytes, so such a head is charged at the largest size.

use plugin_api::Charge;

use crate::memory::HEADS;

use super::failure::Failure;

const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The most that the h2 crate keeps of a head, in `max_header`s: its limit is twice that, and it keeps undecoded bytes besides.
const KEPT: usize = 4;

/// Where in its frames a connection is.
pub struct H2Heads {
    max: usize,
    /// Bytes to pass over before the head of the next frame.
    skip: usize,
    frame: [u8; FRAME_HEAD],
    filled: usize,
    charge: Charge,
}

impl H2Heads {
    /// A connection whose first byte, that of the preface, is yet to come, and whose heads may have `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { max, skip: PREFACE, frame: [0; FRAME_HEAD], filled: 0, charge: HEADS.charge() }
    }

    /// Bytes have come from the client.
    ///
    /// # Errors
    /// [`Failure::HeadMemory`]: no memory is left for a head that is not whole yet.
    pub fn came(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let length = (FRAME_HEAD - self.filled).min(bytes.len());
            let (head, rest) = bytes.split_at(length);
            self.frame[self.filled..][..length].copy_from_slice(head);
            self.filled += length;
            bytes = rest;
            if self.filled < FRAME_HEAD {
                return Ok(());
            }
            let [a, b, c, kind, flags, ..] = self.frame;
            (self.skip, self.filled) = (u32::from_be_bytes([0, a, b, c]) as usize, 0);
            if matches!(kind, HEADERS | CONTINUATION) {
                if flags & END_HEADERS == 0 {
                    self.charge.grow_to(KEPT * self.max).map_err(|_| Failure::HeadMemory)?;
                } else {
                    self.charge.settle(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; payload]].concat()
    }

    #[test]
    fn a_head_is_charged_while_it_is_not_whole_however_its_bytes_come() {
        let begun = [vec![b'P'; PREFACE], frame(4, 0, 6), frame(HEADERS, 1, 300), frame(CONTINUATION, 0, 5)].concat();
        let ended = [frame(CONTINUATION, END_HEADERS, 7), frame(0, 1, 1000), frame(HEADERS, END_HEADERS, 2)].concat();
        for piece in [1, 2, 8, 9, 10, 100, 10_000] {
            let mut heads = H2Heads::new(1000);
            begun.chunks(piece).for_each(|bytes| heads.came(bytes).unwrap());
            assert_eq!(heads.charge.bytes(), KEPT * 1000, "{piece}");
            ended.chunks(piece).for_each(|bytes| heads.came(bytes).unwrap());
            assert_eq!((heads.charge.bytes(), heads.skip, heads.filled), (0, 0, 0), "{piece}");
        }
    }
}
