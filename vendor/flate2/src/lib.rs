//! The part of flate2 that Pingora uses, on zlib-rs.
//!
//! Pingora's dependency on flate2 names the zlib-ng backend, which compiles C with cmake, and Cargo offers no way to
//! take a feature back. This crate stands in flate2's place with the same names and the same results. It goes when
//! Pingora lets its users choose the backend.

#![forbid(unsafe_code)]

/// How hard to compress: 0 (not at all) to 9.
#[derive(Clone, Copy, Debug)]
pub struct Compression(i32);

impl Compression {
    /// A level of 0 to 9; a higher one means 9.
    pub fn new(level: u32) -> Self {
        Self(level.min(9) as i32)
    }
}

/// Adapters that write what they are given, compressed or decompressed, to a writer below.
pub mod write {
    use std::io::{self, Write};

    use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

    use super::Compression;

    const GZIP: u8 = 16 + 15; // a gzip header, and the full window
    const PIECE: usize = 16 * 1024;

    /// Compresses to gzip.
    pub struct GzEncoder<W: Write> {
        to: W,
        deflate: Deflate,
        finished: bool,
    }

    impl<W: Write> GzEncoder<W> {
        /// Compresses at this level.
        pub fn new(to: W, level: Compression) -> Self {
            Self { to, deflate: Deflate::new(level.0, true, GZIP), finished: false }
        }

        /// The writer below.
        pub fn get_ref(&self) -> &W {
            &self.to
        }

        /// The writer below, to take from it what has been written.
        pub fn get_mut(&mut self) -> &mut W {
            &mut self.to
        }

        /// Ends the stream.
        ///
        /// # Errors
        /// What the writer below says.
        pub fn try_finish(&mut self) -> io::Result<()> {
            if !self.finished {
                self.run(&[], DeflateFlush::Finish)?;
                self.finished = true;
            }
            Ok(())
        }

        fn run(&mut self, mut input: &[u8], flush: DeflateFlush) -> io::Result<()> {
            let mut piece = [0; PIECE];
            loop {
                let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
                let status = self
                    .deflate
                    .compress(input, &mut piece, flush)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.as_str()))?;
                input = &input[(self.deflate.total_in() - read) as usize..];
                let produced = (self.deflate.total_out() - written) as usize;
                self.to.write_all(&piece[..produced])?;
                match status {
                    Status::StreamEnd => return Ok(()),
                    // room was left, so nothing more is to come of this input
                    _ if input.is_empty() && produced < PIECE => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    impl<W: Write> Write for GzEncoder<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.run(bytes, DeflateFlush::NoFlush)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.run(&[], DeflateFlush::SyncFlush)?;
            self.to.flush()
        }
    }

    /// Decompresses gzip.
    pub struct GzDecoder<W: Write> {
        to: W,
        inflate: Inflate,
        finished: bool,
    }

    impl<W: Write> GzDecoder<W> {
        /// Decompresses to this writer.
        pub fn new(to: W) -> Self {
            Self { to, inflate: Inflate::new(true, GZIP), finished: false }
        }

        /// The writer below.
        pub fn get_ref(&self) -> &W {
            &self.to
        }

        /// The writer below, to take from it what has been written.
        pub fn get_mut(&mut self) -> &mut W {
            &mut self.to
        }

        /// Says that no more input will come.
        ///
        /// # Errors
        /// `UnexpectedEof` where the stream is not complete.
        pub fn try_finish(&mut self) -> io::Result<()> {
            if self.finished || self.inflate.total_in() == 0 {
                return Ok(());
            }
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "gzip stream ends early"))
        }
    }

    impl<W: Write> Write for GzDecoder<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut piece = [0; PIECE];
            let mut input = bytes;
            while !self.finished {
                let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
                let status = self
                    .inflate
                    .decompress(input, &mut piece, InflateFlush::NoFlush)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.as_str()))?;
                input = &input[(self.inflate.total_in() - read) as usize..];
                let produced = (self.inflate.total_out() - written) as usize;
                self.to.write_all(&piece[..produced])?;
                self.finished = status == Status::StreamEnd;
                if input.is_empty() && produced < PIECE {
                    break;
                }
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.to.flush()
        }
    }
}
