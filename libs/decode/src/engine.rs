//! One encoding taken off bytes, step by step: whatever input there is, into whatever room there is. Whole bodies and streams
//! are both read with it; how much may come of them is theirs to bound.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use zlib_rs::{Inflate, InflateFlush, Status};
use zstd::stream::raw::{DParameter, Operation as _};

/// The largest window of zstd, as a power of two (RFC 9659).
const ZSTD_WINDOW: u32 = 23;
/// The window bits of zlib for a gzip header.
const GZIP_BITS: u8 = 16 + 15;

/// How the bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Any number of members, one after another (RFC 1952).
    Gzip,
    /// One stream with zlib's header (RFC 1950).
    Zlib,
    /// One stream without a header (RFC 1951).
    RawDeflate,
    /// One stream, with windows as RFC 7932 has them: the larger ones of its later extension would cost up to 1 GiB.
    Brotli,
    /// Any number of frames, one after another (RFC 8878).
    Zstd,
}

/// Whether what HTTP calls deflate begins as zlib's format does, which names the method in its low bits. In the bare format they
/// would be a stored block with padding that is not zero.
pub(crate) fn is_zlib(deflate: &[u8]) -> bool {
    deflate.first().is_some_and(|first| first & 0x0F == 8)
}

/// It cannot be decoded any further.
#[derive(Debug)]
pub(crate) struct Broken;

/// Bytes of one format that are being decoded.
pub(crate) struct Engine {
    state: State,
    /// Whether what was read so far is whole: the next byte, if there is one, begins a member or a frame.
    is_whole: bool,
}

enum State {
    /// The member under way; none between two of them.
    Gzip(Option<Inflate>),
    Deflate(Inflate),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

/// What one step of decoding did.
pub(crate) struct Step {
    pub(crate) read: usize,
    pub(crate) written: usize,
}

impl Engine {
    pub(crate) fn new(format: Format) -> Result<Self, Broken> {
        let state = match format {
            Format::Gzip => State::Gzip(None),
            Format::Zlib => State::Deflate(Inflate::new(true, 15)),
            Format::RawDeflate => State::Deflate(Inflate::new(false, 15)),
            Format::Brotli => {
                let alloc = StandardAlloc::default();
                State::Brotli(Box::new(BrotliState::new_strict(alloc, alloc, alloc)))
            }
            Format::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new().map_err(|_| Broken)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).map_err(|_| Broken)?;
                State::Zstd(decoder)
            }
        };
        // no member and no frame at all is whole, too; no stream is not
        Ok(Self { state, is_whole: matches!(format, Format::Gzip | Format::Zstd) })
    }

    /// Whether all that was read is whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Decodes some of these bytes into this room, which must not be empty. A step that neither read nor wrote can go no further.
    ///
    /// # Errors
    /// That the bytes are not of the format, or follow the end of a format that has but one stream.
    pub(crate) fn step(&mut self, bytes: &[u8], room: &mut [u8]) -> Result<Step, Broken> {
        if self.is_whole && bytes.is_empty() {
            return Ok(Step { read: 0, written: 0 });
        }
        let (step, ended) = match &mut self.state {
            State::Gzip(member) => {
                let (step, ended) = inflate(member.get_or_insert_with(|| Inflate::new(true, GZIP_BITS)), bytes, room)?;
                if ended {
                    *member = None;
                }
                (step, ended)
            }
            State::Deflate(_) | State::Brotli(_) if self.is_whole => return Err(Broken),
            State::Deflate(stream) => inflate(stream, bytes, room)?,
            State::Brotli(state) => unbrotli(state, bytes, room)?,
            State::Zstd(decoder) => {
                let status = decoder.run_on_buffers(bytes, room).map_err(|_| Broken)?;
                (Step { read: status.bytes_read, written: status.bytes_written }, status.remaining == 0)
            }
        };
        self.is_whole = ended;
        Ok(step)
    }
}

fn inflate(stream: &mut Inflate, bytes: &[u8], room: &mut [u8]) -> Result<(Step, bool), Broken> {
    let (taken, made) = (stream.total_in(), stream.total_out());
    let status = stream.decompress(bytes, room, InflateFlush::NoFlush);
    let step = Step { read: difference(taken, stream.total_in()), written: difference(made, stream.total_out()) };
    match status {
        Ok(Status::StreamEnd) => Ok((step, true)),
        Ok(Status::Ok | Status::BufError) => Ok((step, false)),
        Err(_) => Err(Broken),
    }
}

pub(crate) fn difference(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

fn unbrotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    bytes: &[u8],
    room: &mut [u8],
) -> Result<(Step, bool), Broken> {
    let (mut left, mut read, mut space, mut written, mut total) = (bytes.len(), 0, room.len(), 0, 0);
    let result = BrotliDecompressStream(&mut left, &mut read, bytes, &mut space, &mut written, room, &mut total, state);
    match result {
        BrotliResult::ResultFailure => Err(Broken),
        BrotliResult::ResultSuccess => Ok((Step { read, written }, true)),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok((Step { read, written }, false)),
    }
}
