//! A body decoded as a whole. Unlike a stream it has to be complete, and mean the same to every reader.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::engine::{Broken, Engine, Format, is_zlib};
use crate::{Coding, DecodeError};

/// How many parts one after another make up a gzip body.
const MOST_MEMBERS: usize = 1024;
/// What may come of a packed body whatever its size, in bytes, and of each byte of it beyond. More is a bomb: no text is
/// packed that well, but one that repeats itself for some MB.
const FREE: usize = 8 << 20;
const RATIO: usize = 250;
/// How much room for output is made at first.
const FIRST_ROOM: usize = 4 << 10;

/// The body without its encodings, in at most `max` bytes, and in at most 8 MiB and 250 bytes for each byte of it; `None` if it
/// has none. Where encodings are stacked, that holds for what comes of each.
///
/// # Errors
/// Why it cannot be decoded for certain, in words for its sender.
pub fn decode(headers: &HeaderMap, body: &Bytes, max: usize) -> Result<Option<Bytes>, DecodeError> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(None);
    }
    let dense = FREE.saturating_add(RATIO.saturating_mul(body.len()));
    let mut decoded: Option<Bytes> = None;
    // the encoding named last was put on last
    for coding in Coding::of(headers)?.into_iter().rev() {
        let encoded = decoded.as_ref().unwrap_or(body);
        let result = match coding {
            Coding::Gzip => read(Format::Gzip, encoded, max.min(dense)),
            Coding::Deflate => undeflate(encoded, max.min(dense)),
            Coding::Brotli => read(Format::Brotli, encoded, max.min(dense)),
            Coding::Zstd => read(Format::Zstd, encoded, max.min(dense)),
        };
        let result = result.map_err(|unread| match unread {
            Unread::Broken => DecodeError::Broken(coding),
            Unread::Ambiguous => DecodeError::Ambiguous(coding),
            Unread::Large if dense < max => DecodeError::TooDense(dense),
            Unread::Large => DecodeError::TooLarge(max),
        });
        decoded = Some(result?.into());
    }
    Ok(decoded)
}

enum Unread {
    Broken,
    Large,
    Ambiguous,
}

impl From<Broken> for Unread {
    fn from(Broken: Broken) -> Self {
        Self::Broken
    }
}

/// All of a body in this format, in at most so many bytes.
fn read(format: Format, mut encoded: &[u8], max: usize) -> Result<Vec<u8>, Unread> {
    let mut engine = Engine::new(format)?;
    let mut output = Output::new(max);
    let mut members = 0;
    loop {
        if engine.is_whole() {
            if encoded.is_empty() {
                return output.finish();
            }
            members += 1;
            if format == Format::Gzip && members > MOST_MEMBERS {
                return Err(Unread::Broken);
            }
        }
        let step = engine.step(encoded, output.room()?)?;
        encoded = &encoded[step.read..];
        output.filled += step.written;
        if step.read == 0 && step.written == 0 && !engine.is_whole() {
            return Err(Unread::Broken);
        }
    }
}

/// What HTTP calls deflate: zlib's format by the standard, the bare one by some clients. Bytes that are both would be
/// one call to one server and another call to the next.
fn undeflate(encoded: &[u8], max: usize) -> Result<Vec<u8>, Unread> {
    match (read(Format::Zlib, encoded, max), read(Format::RawDeflate, encoded, max)) {
        (Ok(_), Ok(_)) => Err(Unread::Ambiguous),
        (Ok(decoded), Err(_)) => Ok(decoded),
        // a stream is told apart by its first byte: in the bare format this one has padding that is not zero, as nobody writes it
        (Err(_), Ok(_)) if is_zlib(encoded) => Err(Unread::Broken),
        (Err(_), Ok(decoded)) => Ok(decoded),
        (Err(Unread::Large), _) | (_, Err(Unread::Large)) => Err(Unread::Large),
        _ => Err(Unread::Broken),
    }
}

/// Bytes that are being decoded, up to a bound.
struct Output {
    bytes: Vec<u8>,
    filled: usize,
    max: usize,
}

impl Output {
    fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), filled: 0, max }
    }

    /// Room for more. One byte beyond the bound may be written, to tell what is just as long from what is longer.
    fn room(&mut self) -> Result<&mut [u8], Unread> {
        if self.filled > self.max {
            return Err(Unread::Large);
        }
        if self.filled == self.bytes.len() {
            let length = self.filled.saturating_mul(2).max(FIRST_ROOM).min(self.max.saturating_add(1));
            self.bytes.reserve_exact(length - self.filled);
            self.bytes.resize(length, 0);
        }
        Ok(&mut self.bytes[self.filled..])
    }

    fn finish(mut self) -> Result<Vec<u8>, Unread> {
        if self.filled > self.max {
            return Err(Unread::Large);
        }
        self.bytes.truncate(self.filled);
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests;
