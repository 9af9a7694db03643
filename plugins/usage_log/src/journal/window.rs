//! A segment open for reading, a window of it in memory at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// As many bytes are read at a time, unless one frame takes more.
const WIDTH: usize = 256 << 10;

/// The window.
#[derive(Debug)]
pub(super) struct Window {
    /// The segment's number.
    pub(super) number: u64,
    /// Its salt.
    pub(super) salt: u32,
    file: File,
    from: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// A window of a segment, with nothing in it yet.
    pub(super) fn new(number: u64, salt: u32, file: File) -> Self {
        Self { number, salt, file, from: 0, bytes: Vec::new() }
    }

    /// The bytes from `at`: at least `wanted` of them, or all up to `limit` where there are fewer; there may be more, but none from
    /// beyond it.
    ///
    /// # Errors
    /// That these cannot be read.
    pub(super) fn view(&mut self, at: u64, wanted: usize, limit: u64) -> io::Result<&[u8]> {
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
        // a window that one huge frame made wide is not kept
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
