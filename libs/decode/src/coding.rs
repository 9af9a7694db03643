//! The encodings that a `content-encoding` header names.

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::DecodeError;

/// How many encodings may be stacked.
pub(crate) const MOST_CODINGS: usize = 3;
/// How much of an unknown name an error shows, in characters.
const LONGEST_NAME: usize = 40;

/// An encoding of bodies (RFC 9110 §8.4.1, 7932, 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, also `x-gzip`.
    Gzip,
    /// `deflate`: zlib's format by the standard, the bare one by some senders.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl Coding {
    /// The encodings put on a body, in order, `identity` left out.
    ///
    /// # Errors
    /// That one is unknown, or that there are too many.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Vec<Self>, DecodeError> {
        let mut codings = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.as_bytes().split(|byte| *byte == b',') {
                let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
                match name.as_str() {
                    "" | "identity" => {}
                    "gzip" | "x-gzip" => codings.push(Self::Gzip),
                    "deflate" => codings.push(Self::Deflate),
                    "br" => codings.push(Self::Brotli),
                    "zstd" => codings.push(Self::Zstd),
                    _ => {
                        let name = name.chars().filter(|char| !char.is_control()).take(LONGEST_NAME).collect();
                        return Err(DecodeError::Unknown(name));
                    }
                }
            }
        }
        if codings.len() > MOST_CODINGS { Err(DecodeError::Stacked) } else { Ok(codings) }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        })
    }
}
