//! The frames of one direction of an HTTP/2 connection, as far as their heads are concerned (RFC 9113 §4.1).

const FRAME_HEAD: usize = 9;

/// Types of frames.
pub const DATA: u8 = 0;
/// The head of a message, or its trailers.
pub const HEADERS: u8 = 1;
/// What nobody goes by any more.
pub const PRIORITY: u8 = 2;
/// The end of a stream.
pub const RST_STREAM: u8 = 3;
/// What the sender expects.
pub const SETTINGS: u8 = 4;
/// A question whether the other side is there.
pub const PING: u8 = 6;
/// The end of a connection.
pub const GOAWAY: u8 = 7;
/// Room for more data.
pub const WINDOW_UPDATE: u8 = 8;
/// The rest of a head.
pub const CONTINUATION: u8 = 9;

/// Flags of frames: settings that are acknowledged.
pub const ACK: u8 = 1;
/// The head is whole.
pub const END_HEADERS: u8 = 4;
/// The frame ends with bytes that mean nothing.
pub const PADDED: u8 = 8;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The bytes of its payload.
    pub length: usize,
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
}

/// Where in its frames one direction of a connection is.
pub struct Frames {
    /// Bytes to pass over before the head of the next frame.
    skip: usize,
    head: [u8; FRAME_HEAD],
    filled: usize,
}

impl Frames {
    /// A direction whose frames begin behind so many bytes.
    #[must_use]
    pub fn behind(skip: usize) -> Self {
        Self { skip, head: [0; FRAME_HEAD], filled: 0 }
    }

    /// Gives each head that these bytes complete, together with what they hold of its payload.
    ///
    /// # Errors
    /// The first of `frame`.
    pub fn pass<E>(
        &mut self,
        mut bytes: &[u8],
        mut frame: impl FnMut(FrameHead, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let length = (FRAME_HEAD - self.filled).min(bytes.len());
            let (head, rest) = bytes.split_at(length);
            self.head[self.filled..][..length].copy_from_slice(head);
            self.filled += length;
            bytes = rest;
            if self.filled < FRAME_HEAD {
                return Ok(());
            }
            let [a, b, c, kind, flags, stream @ ..] = self.head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            (self.skip, self.filled) = (length, 0);
            let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
            frame(FrameHead { length, kind, flags, stream }, &bytes[..length.min(bytes.len())])?;
        }
    }

    /// Whether the last frame has passed to its end.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.skip == 0 && self.filled == 0
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn heads_are_found_however_the_bytes_come() {
        let frame = |kind: u8, stream: u8, payload: &[u8]| {
            [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, 5, 0x80, 0, 0, stream], payload].concat()
        };
        let bytes = [&[0xff; 24][..], &frame(HEADERS, 1, b"abc"), &frame(DATA, 1, b""), &frame(RST_STREAM, 3, b"0123")]
            .concat();
        for piece in [1, 2, 8, 9, 10, 100] {
            let (mut frames, mut seen) = (Frames::behind(24), Vec::new());
            for bytes in bytes.chunks(piece) {
                let passed = frames.pass(bytes, |head, _| {
                    seen.push((head.kind, head.length, head.flags, head.stream));
                    Ok::<_, Infallible>(())
                });
                passed.unwrap();
            }
            assert_eq!(seen, [(HEADERS, 3, 5, 1), (DATA, 0, 5, 1), (RST_STREAM, 4, 5, 3)], "in pieces of {piece}");
            assert!(frames.is_between());
        }
        let mut frames = Frames::behind(0);
        let payload = frames.pass(&frame(RST_STREAM, 3, b"0123"), |_, payload| Err(payload.to_vec()));
        assert_eq!(payload, Err(b"0123".to_vec()));
    }
}
