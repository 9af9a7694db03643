//! A segment that is open for reading, a part of it in memory at a time, and the next frame in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::Journal;
use crate::frame::{self, Decoded, Frame};
use crate::segment::{self, Head};

/// The error of a segment that was read, and whose content is no segment's. The system never gives it.
pub(crate) const NOT_ITS_OWN: io::ErrorKind = io::ErrorKind::InvalidData;
/// As many bytes are read at a time, unless one frame takes more.
const WIDTH: usize = 256 << 10;

/// The buffer.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    /// The segment's number.
    pub(crate) number: u64,
    /// Its salt.
    pub(crate) salt: u32,
    /// Its records were passed over before.
    pub(crate) passed: bool,
    file: File,
    from: u64,
    bytes: Vec<u8>,
}

impl<T> Journal<T> {
    /// Opens a segment for reading.
    ///
    /// # Errors
    /// The disk's; or [`NOT_ITS_OWN`], if its salt is lost.
    pub(crate) fn open_segment(&self, number: u64) -> io::Result<ReadBuffer> {
        let file = File::open(segment::path(&self.folder, number))?;
        let (salt, passed) = match segment::head(&file)? {
            Head::Known { salt, passed } => (Some(salt), passed),
            Head::Later | Head::Damaged => (self.salt_of(number), false),
        };
        let salt = salt.ok_or_else(|| io::Error::new(NOT_ITS_OWN, "its head is damaged"))?;
        Ok(ReadBuffer { number, salt, passed, file, from: 0, bytes: Vec::new() })
    }
}

/// The next frame in a segment.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) frame: Frame<'a>,
    /// Where it ends.
    pub(crate) end: u64,
    /// Bytes before it that are no frame.
    pub(crate) skipped: u64,
}

impl ReadBuffer {
    /// Looks for the next frame from an offset on, in what is written of the segment, and gives it to `found`. Where there is none, gives
    /// how many bytes are no frame.
    ///
    /// # Errors
    /// That the bytes cannot be read.
    pub(crate) fn next_frame<R>(
        &mut self,
        mut offset: u64,
        written: u64,
        found: impl FnOnce(Found<'_>) -> R,
    ) -> io::Result<Result<R, u64>> {
        let (mut wanted, mut skipped, salt) = (frame::HEAD, 0, self.salt);
        while offset < written {
            let bytes = self.view(offset, wanted, written)?;
            let seen = bytes.len();
            let step = match frame::decode(bytes, salt) {
                Decoded::Frame(frame) => {
                    let end = offset + frame.length as u64;
                    return Ok(Ok(found(Found { frame, end, skipped })));
                }
                // there is more to see
                Decoded::Needs(more) if more > seen && offset + more as u64 <= written => {
                    wanted = more;
                    continue;
                }
                Decoded::Needs(_) => frame::next_mark(bytes),
                Decoded::Damage(step) => step,
            };
            offset += step as u64;
            skipped += step as u64;
            wanted = frame::HEAD;
        }
        Ok(Err(skipped))
    }

    /// The bytes from `at`: at least `wanted` of them, or all up to `limit` where there are fewer; there may be more, but none from
    /// beyond it.
    ///
    /// # Errors
    /// That these cannot be read.
    pub(crate) fn view(&mut self, at: u64, wanted: usize, limit: u64) -> io::Result<&[u8]> {
        let left = usize::try_from(limit.saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = wanted.min(left);
        let skip = at.checked_sub(self.from).and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.filter(|skip| skip.checked_add(wanted).is_some_and(|end| end <= self.bytes.len()));
        let skip = match skip {
            Some(skip) => skip,
            None => {
                self.load(at, wanted, wanted.max(WIDTH).min(left))?;
                0
            }
        };
        let end = self.bytes.len().min(skip.saturating_add(left));
        Ok(&self.bytes[skip..end])
    }

    /// Reads so many bytes, or as many as there are before the first that cannot be read, if those are the ones that are wanted.
    fn load(&mut self, at: u64, wanted: usize, length: usize) -> io::Result<()> {
        // a buffer that one huge frame made large is not kept
        if self.bytes.capacity() > 4 * WIDTH && length <= WIDTH {
            self.bytes = Vec::new();
        }
        self.from = at;
        self.bytes.resize(length, 0);
        let (mut read, mut failed) = (0, None);
        while read < length && failed.is_none() {
            match self.file.read_at(&mut self.bytes[read..], at + read as u64) {
                Ok(0) => failed = Some(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => failed = Some(error),
            }
        }
        self.bytes.truncate(read);
        failed.filter(|_| read < wanted).map_or(Ok(()), Err)
    }
}
