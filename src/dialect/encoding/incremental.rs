//! Takes the `content-encoding` off a body piece by piece, as the pieces pass, in memory that does not grow with it.

use std::fmt;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zlib_rs::{Inflate, InflateFlush, Status};
use zstd::stream::raw::{DParameter, Operation as _};

use super::{Coding, ZSTD_WINDOW, codings, difference};

/// How much is decoded at a time, in bytes.
const ROOM: usize = 8 << 10;
/// What may come of a body whatever its size, and of each byte of it beyond. More is a bomb: text is never packed that well.
const FREE: u64 = 1 << 20;
const RATIO: u64 = 250;

/// A body that is being decoded.
pub(in crate::dialect) struct Decoder {
    /// The encoding that was put on last comes first.
    stages: Vec<Stage>,
    budget: Budget,
}

/// It cannot be decoded any further.
#[derive(Debug)]
pub(in crate::dialect) struct Broken;

struct Stage {
    inflating: Inflating,
    room: Box<[u8]>,
}

enum Inflating {
    Gzip(Inflate),
    /// Which of its two formats it is, the first byte tells.
    Deflate(Option<Inflate>),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

#[derive(Default)]
struct Budget {
    taken: u64,
    made: u64,
}

/// What one step of decoding did.
struct Step {
    read: usize,
    written: usize,
    /// All that follows begins anew.
    over: bool,
}

impl Decoder {
    /// A decoder for a body with these headers; none where it is not encoded.
    ///
    /// # Errors
    /// That it is encoded in a way which is not known here.
    pub(in crate::dialect) fn of(headers: &HeaderMap) -> Result<Option<Self>, Broken> {
        if !headers.contains_key(CONTENT_ENCODING) {
            return Ok(None);
        }
        let codings = codings(headers).map_err(|_| Broken)?;
        let stages = codings.into_iter().rev().map(Stage::new).collect::<Result<Vec<_>, _>>()?;
        Ok((!stages.is_empty()).then(|| Self { stages, budget: Budget::default() }))
    }

    /// Hands on what the next bytes decode to.
    ///
    /// # Errors
    /// That they are not what they should be, or more than is decoded.
    pub(in crate::dialect) fn feed(&mut self, bytes: &[u8], decoded: &mut dyn FnMut(&[u8])) -> Result<(), Broken> {
        self.budget.taken += bytes.len() as u64;
        run(&mut self.stages, &mut self.budget, bytes, decoded)
    }
}

fn run(
    stages: &mut [Stage],
    budget: &mut Budget,
    mut bytes: &[u8],
    decoded: &mut dyn FnMut(&[u8]),
) -> Result<(), Broken> {
    let Some((stage, inner)) = stages.split_first_mut() else {
        decoded(bytes);
        return Ok(());
    };
    loop {
        let Step { read, written, over } = stage.inflating.step(bytes, &mut stage.room)?;
        bytes = &bytes[read..];
        budget.made += written as u64;
        if budget.made > FREE + RATIO * budget.taken {
            return Err(Broken);
        }
        if written > 0 {
            run(inner, budget, &stage.room[..written], decoded)?;
        }
        if over {
            stage.inflating.begin_anew();
        }
        // with its room full it may hold back more
        let all_written = written < stage.room.len();
        if bytes.is_empty() && all_written {
            return Ok(());
        }
        if read == 0 && written == 0 {
            return Err(Broken);
        }
    }
}

impl Stage {
    fn new(coding: Coding) -> Result<Self, Broken> {
        let inflating = match coding {
            Coding::Gzip => Inflating::Gzip(gzip()),
            Coding::Deflate => Inflating::Deflate(None),
            Coding::Brotli => {
                let alloc = StandardAlloc::default();
                Inflating::Brotli(Box::new(BrotliState::new_strict(alloc, alloc, alloc)))
            }
            Coding::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new().map_err(|_| Broken)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).map_err(|_| Broken)?;
                Inflating::Zstd(decoder)
            }
        };
        Ok(Self { inflating, room: vec![0; ROOM].into() })
    }
}

fn gzip() -> Inflate {
    Inflate::new(true, 16 + 15)
}

impl Inflating {
    fn step(&mut self, bytes: &[u8], room: &mut [u8]) -> Result<Step, Broken> {
        match self {
            Self::Gzip(stream) => inflate(stream, bytes, room),
            Self::Deflate(stream) => {
                let Some(first) = bytes.first() else {
                    return stream.as_mut().map_or(Ok(NOTHING), |stream| inflate(stream, bytes, room));
                };
                // zlib's format names the method in its low bits; in the bare one they would be a stored block with
                // padding that is not zero
                let header = first & 0x0F == 8;
                inflate(stream.get_or_insert_with(|| Inflate::new(header, 15)), bytes, room)
            }
            Self::Brotli(state) => unbrotli(state, bytes, room),
            Self::Zstd(decoder) => {
                let status = decoder.run_on_buffers(bytes, room).map_err(|_| Broken)?;
                Ok(Step { read: status.bytes_read, written: status.bytes_written, over: false })
            }
        }
    }

    /// What has come to its end may be followed by more only where its format has it so; zstd sees to that itself.
    fn begin_anew(&mut self) {
        match self {
            Self::Gzip(stream) => *stream = gzip(),
            Self::Deflate(_) | Self::Brotli(_) | Self::Zstd(_) => {}
        }
    }
}

const NOTHING: Step = Step { read: 0, written: 0, over: false };

fn inflate(stream: &mut Inflate, bytes: &[u8], room: &mut [u8]) -> Result<Step, Broken> {
    let (taken, made) = (stream.total_in(), stream.total_out());
    let status = stream.decompress(bytes, room, InflateFlush::NoFlush);
    let (read, written) = (difference(taken, stream.total_in()), difference(made, stream.total_out()));
    match status {
        Ok(Status::StreamEnd) => Ok(Step { read, written, over: true }),
        Ok(Status::Ok | Status::BufError) => Ok(Step { read, written, over: false }),
        Err(_) => Err(Broken),
    }
}

fn unbrotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    bytes: &[u8],
    room: &mut [u8],
) -> Result<Step, Broken> {
    let (mut left, mut read, mut space, mut written, mut total) = (bytes.len(), 0, room.len(), 0, 0);
    let result = BrotliDecompressStream(&mut left, &mut read, bytes, &mut space, &mut written, room, &mut total, state);
    match result {
        BrotliResult::ResultFailure => Err(Broken),
        _ => Ok(Step { read, written, over: false }),
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

#[cfg(test)]
mod tests;
