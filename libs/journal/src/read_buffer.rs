//! A segment that is open for reading, a part of it in memory at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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

impl ReadBuffer {
    /// A buffer for a segment, with nothing in it yet.
    pub(crate) fn new(number: u64, salt: u32, passed: bool, file: File) -> Self {
        Self { number, salt, passed, file, from: 0, bytes: Vec::new() }
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
