//! Takes the `content-encoding` off a body, within a bound: off a request's as a whole, off an answer's as it passes. Knows
//! nothing of what the body holds.

mod incremental;

use std::io::Read;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zlib_rs::{Inflate, InflateFlush, Status};

pub(super) use incremental::Decoder;

/// How many encodings may be stacked.
const MOST_CODINGS: usize = 3;
/// How many parts one after another make up a gzip body.
const MOST_MEMBERS: usize = 1024;
/// The largest window of zstd, as a power of two (RFC 9659).
const ZSTD_WINDOW: u32 = 23;
/// What may come of a packed request whatever its size, in bytes, and of each byte of it beyond. More is a bomb: no text is
/// packed that well, but one that repeats itself for some MB.
const FREE: usize = 8 << 20;
const RATIO: usize = 250;
/// How much room for output is made at first.
const FIRST_ROOM: usize = 4 << 10;

/// The body without its encodings, in at most `max` bytes, and in at most 8 MiB and 250 bytes for each byte of it; `None` if it
/// has none. Where encodings are stacked, that holds for what comes of each.
///
/// # Errors
/// Why it cannot be decoded for certain, in words for the caller.
pub(super) fn decoded(headers: &HeaderMap, body: &Bytes, max: usize) -> Result<Option<Bytes>, String> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(None);
    }
    let dense = FREE.saturating_add(RATIO.saturating_mul(body.len()));
    let mut decoded: Option<Bytes> = None;
    // the encoding named last was put on last
    for coding in codings(headers)?.into_iter().rev() {
        let encoded = decoded.as_ref().unwrap_or(body);
        let result = coding.decode(encoded, max.min(dense));
        decoded = Some(result.map_err(|fault| coding.explained(&fault, max, dense))?.into());
    }
    Ok(decoded)
}

/// The encodings put on a body, in order, `identity` left out.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, String> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.as_bytes().split(|byte| *byte == b',') {
            let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
            match name.as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                "br" => codings.push(Coding::Brotli),
                "zstd" => codings.push(Coding::Zstd),
                _ => {
                    let name: String = name.chars().filter(|char| !char.is_control()).take(40).collect();
                    return Err(format!("its content-encoding {name} is not known here"));
                }
            }
        }
    }
    if codings.len() > MOST_CODINGS {
        return Err(format!("it is encoded more than {MOST_CODINGS} times over"));
    }
    Ok(codings)
}

/// An encoding of bodies (RFC 9110 §8.4.1, 7932, 8878).
#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn decode(self, encoded: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Gzip => gunzip(encoded, max),
            Self::Deflate => undeflate(encoded, max),
            Self::Brotli => unbrotli(encoded, max),
            Self::Zstd => unzstd(encoded, max),
        }
    }

    /// A fault in words, with the bounds on what is decoded: on all of it, and by how densely it is packed.
    fn explained(self, fault: &Fault, max: usize, dense: usize) -> String {
        let name = match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        };
        match fault {
            Fault::Broken => format!("it is not {name}, as its content-encoding says, or not all of it is"),
            Fault::Large if dense < max => {
                format!("it is packed more densely than text is: it decodes to more than {dense} bytes")
            }
            Fault::Large => format!("it decodes to more than {max} bytes"),
            Fault::Ambiguous => format!("its {name} data can be read in two ways"),
        }
    }
}

enum Fault {
    Broken,
    Large,
    Ambiguous,
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
    fn room(&mut self) -> Result<&mut [u8], Fault> {
        if self.filled > self.max {
            return Err(Fault::Large);
        }
        if self.filled == self.bytes.len() {
            let length = self.filled.saturating_mul(2).max(FIRST_ROOM).min(self.max.saturating_add(1));
            self.bytes.reserve_exact(length - self.filled);
            self.bytes.resize(length, 0);
        }
        Ok(&mut self.bytes[self.filled..])
    }

    fn finish(mut self) -> Result<Vec<u8>, Fault> {
        if self.filled > self.max {
            return Err(Fault::Large);
        }
        self.bytes.truncate(self.filled);
        Ok(self.bytes)
    }
}

/// All members of a gzip body (RFC 1952): what the first one leaves out, a second may hold.
fn gunzip(mut encoded: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
    let mut output = Output::new(max);
    let mut members = 0;
    while !encoded.is_empty() {
        members += 1;
        if members > MOST_MEMBERS {
            return Err(Fault::Broken);
        }
        let read = inflate(Inflate::new(true, 16 + 15), encoded, &mut output)?;
        encoded = &encoded[read..];
    }
    output.finish()
}

/// What HTTP calls deflate: zlib's format by the standard, the bare one by some clients. Bytes that are both would be
/// one call to one server and another call to the next.
fn undeflate(encoded: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
    let whole = |expect_header: bool| {
        let mut output = Output::new(max);
        let read = inflate(Inflate::new(expect_header, 15), encoded, &mut output)?;
        if read == encoded.len() { output.finish() } else { Err(Fault::Broken) }
    };
    match (whole(true), whole(false)) {
        (Ok(_), Ok(_)) => Err(Fault::Ambiguous),
        (Ok(decoded), Err(_)) | (Err(_), Ok(decoded)) => Ok(decoded),
        (Err(Fault::Large), _) | (_, Err(Fault::Large)) => Err(Fault::Large),
        _ => Err(Fault::Broken),
    }
}

/// Inflates one stream to its end; how many bytes of input it took.
fn inflate(mut stream: Inflate, encoded: &[u8], output: &mut Output) -> Result<usize, Fault> {
    let mut read = 0;
    loop {
        let (taken, made) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(&encoded[read..], output.room()?, InflateFlush::NoFlush);
        let taken = difference(taken, stream.total_in());
        let made = difference(made, stream.total_out());
        read += taken;
        output.filled += made;
        match status {
            Ok(Status::StreamEnd) => return Ok(read),
            Ok(Status::Ok | Status::BufError) if taken + made > 0 => {}
            Ok(Status::Ok | Status::BufError) | Err(_) => return Err(Fault::Broken),
        }
    }
}

fn difference(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

/// With windows as RFC 7932 has them: the larger ones of its later extension would cost up to 1 GiB.
fn unbrotli(encoded: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
    let alloc = StandardAlloc::default();
    let mut state = BrotliState::new_strict(alloc, alloc, alloc);
    let mut output = Output::new(max);
    let (mut left, mut read, mut total) = (encoded.len(), 0, 0);
    loop {
        let room = output.room()?;
        let (mut space, mut written) = (room.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            encoded,
            &mut space,
            &mut written,
            room,
            &mut total,
            &mut state,
        );
        output.filled += written;
        match result {
            BrotliResult::ResultSuccess if left == 0 => return output.finish(),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess | BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                return Err(Fault::Broken);
            }
        }
    }
}

/// All frames of a zstd body.
fn unzstd(encoded: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(encoded).map_err(|_| Fault::Broken)?;
    decoder.window_log_max(ZSTD_WINDOW).map_err(|_| Fault::Broken)?;
    let mut output = Output::new(max);
    loop {
        match decoder.read(output.room()?) {
            Ok(0) => return output.finish(),
            Ok(read) => output.filled += read,
            Err(_) => return Err(Fault::Broken),
        }
    }
}

#[cfg(test)]
mod tests;
