//! A body decoded piece by piece, as the pieces pass, in memory that does not grow with it.

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::engine::{Broken, Engine, Format, Step, is_zlib};
use crate::{Coding, DecodeError};

/// How much is decoded at a time, in bytes.
const ROOM: usize = 8 << 10;
/// What may come of a body whatever its size, and of each byte of it beyond. More is a bomb: text is never packed that well.
const FREE: u64 = 1 << 20;
const RATIO: u64 = 250;

/// A body that is being decoded.
pub struct Decoder {
    /// The encoding that was put on last comes first.
    stages: Vec<Stage>,
    budget: Budget,
}

struct Stage {
    coding: Coding,
    /// None until the first byte of `deflate`, which tells its format.
    engine: Option<Engine>,
    room: Box<[u8]>,
}

#[derive(Default)]
struct Budget {
    taken: u64,
    made: u64,
}

impl Decoder {
    /// A decoder for a body with these headers; none where it is not encoded.
    ///
    /// # Errors
    /// That it has an encoding that is not known here, or too many.
    pub fn new(headers: &HeaderMap) -> Result<Option<Self>, DecodeError> {
        if !headers.contains_key(CONTENT_ENCODING) {
            return Ok(None);
        }
        let stages: Vec<Stage> = Coding::of(headers)?.into_iter().rev().map(Stage::new).collect();
        Ok((!stages.is_empty()).then(|| Self { stages, budget: Budget::default() }))
    }

    /// Hands on what the next bytes decode to.
    ///
    /// # Errors
    /// That they are not of their encoding, or that more than 1 MiB and 250 bytes for each byte of the body came of it.
    pub fn feed(&mut self, bytes: &[u8], decoded: &mut dyn FnMut(&[u8])) -> Result<(), DecodeError> {
        if bytes.is_empty() {
            // zstd takes many calls without input for an endless loop of its caller
            return Ok(());
        }
        self.budget.taken += bytes.len() as u64;
        run(&mut self.stages, &mut self.budget, bytes, decoded)
    }
}

fn run(
    stages: &mut [Stage],
    budget: &mut Budget,
    mut bytes: &[u8],
    decoded: &mut dyn FnMut(&[u8]),
) -> Result<(), DecodeError> {
    let Some((stage, inner)) = stages.split_first_mut() else {
        decoded(bytes);
        return Ok(());
    };
    loop {
        let Step { read, written } = stage.step(bytes).map_err(|Broken| DecodeError::Broken(stage.coding))?;
        bytes = &bytes[read..];
        budget.made += written as u64;
        let most = FREE + RATIO * budget.taken;
        if budget.made > most {
            return Err(DecodeError::TooDense(usize::try_from(most).unwrap_or(usize::MAX)));
        }
        if written > 0 {
            run(inner, budget, &stage.room[..written], decoded)?;
        }
        // with its room full it may hold back more
        let all_written = written < stage.room.len();
        if bytes.is_empty() && all_written {
            return Ok(());
        }
        if read == 0 && written == 0 {
            return Err(DecodeError::Broken(stage.coding));
        }
    }
}

impl Stage {
    fn new(coding: Coding) -> Self {
        Self { coding, engine: None, room: vec![0; ROOM].into() }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Step, Broken> {
        if self.engine.is_none() {
            if bytes.is_empty() {
                return Ok(Step { read: 0, written: 0 });
            }
            let format = match self.coding {
                Coding::Gzip => Format::Gzip,
                Coding::Deflate if is_zlib(bytes) => Format::Zlib,
                Coding::Deflate => Format::RawDeflate,
                Coding::Brotli => Format::Brotli,
                Coding::Zstd => Format::Zstd,
            };
            self.engine = Some(Engine::new(format)?);
        }
        self.engine.as_mut().ok_or(Broken)?.step(bytes, &mut self.room)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

#[cfg(test)]
mod tests;
