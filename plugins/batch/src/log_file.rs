//! The log of a store: one file of checked frames, of which a kill can tear no more than the last. Knows no call.
//!
//! A frame is the length of its fact and of its body (4 bytes each, little-endian), 8 bytes of the BLAKE3 of all the rest, the fact as
//! JSON, the body. The folder belongs to the process that holds its `lock`.

#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::entry::Entry;

const LOCK: &str = "lock";
pub(crate) const LOG: &str = "calls.log";
const NEW: &str = "calls.new";
const DAMAGED: &str = "calls.damaged";
/// The lengths and the checksum.
const HEAD: usize = 16;
/// The longest part of a frame; a longer one is damage.
const LONGEST: u32 = 1 << 30;

/// The log, open for writing.
#[derive(Debug)]
pub(crate) struct LogFile {
    folder: PathBuf,
    file: Arc<File>,
    /// How far it is written. What is behind it is torn.
    end: u64,
    _lock: Lock,
}

/// The right to a folder, which one process has at a time.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file gives the right back")] File);

/// Why a log cannot be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Another process has it.
    InUse,
    /// What the disk says.
    Disk(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Lock {
    /// Takes the right to a folder, which is made where it is missing. Waits for nobody.
    ///
    /// # Errors
    /// Another process has it, or the disk does not allow it.
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        private_files::create_dir_all(folder)?;
        let lock = private_files::options().write(true).create(true).truncate(false).open(folder.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse,
            TryLockError::Error(error) => OpenError::Disk(error),
        })?;
        Ok(Self(lock))
    }
}

impl LogFile {
    /// Opens the log in a folder that this process has, and reads all that is in it.
    ///
    /// # Errors
    /// The disk does not allow it.
    pub(crate) fn open(folder: &Path, lock: Lock) -> io::Result<(Self, Vec<Entry>)> {
        let path = folder.join(LOG);
        let mut file = private_files::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, end) = read(&bytes)?;
        let length = file.metadata()?.len();
        if end < length {
            // a kill tears the last frame only; a disk may do more
            fs::copy(&path, folder.join(DAMAGED))?;
            log::warn!(bytes = length - end, folder:% = folder.display();
                "the last bytes of the log of calls that wait for batches are torn, which a kill or a full disk does; a copy is in calls.damaged");
            file.set_len(end)?;
        }
        file.seek(SeekFrom::Start(end))?;
        // the entry of a new file in its folder
        File::open(folder)?.sync_all()?;
        Ok((Self { folder: folder.to_owned(), file: Arc::new(file), end, _lock: lock }, entries))
    }

    /// Writes an entry. It survives a kill once this has returned, and a power cut once the file is synced.
    ///
    /// # Errors
    /// What the disk says. Nothing of it is in the log then.
    pub(crate) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let frame = frame(entry)?;
        let mut file = &*self.file;
        if let Err(error) = file.write_all(&frame) {
            // a part of it may be there
            self.file.set_len(self.end)?;
            file.seek(SeekFrom::Start(self.end))?;
            return Err(error);
        }
        self.end += frame.len() as u64;
        Ok(())
    }

    /// The disk is full, until the file that this returns is put back.
    #[cfg(test)]
    pub(crate) fn fill_disk(&mut self) -> Arc<File> {
        self.put_back(Arc::new(File::options().write(true).open("/dev/full").unwrap()))
    }

    #[cfg(test)]
    pub(crate) fn put_back(&mut self, file: Arc<File>) -> Arc<File> {
        std::mem::replace(&mut self.file, file)
    }

    /// The file, to be synced by who must not hold up the writers.
    pub(crate) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    /// Puts a log in the place of this one, with these entries behind it. They, and its name, outlive a power cut once the file and
    /// the folder are synced, which is left to who must not hold up the writers.
    ///
    /// # Errors
    /// What the disk says. The log is as it was then.
    pub(crate) fn replace(&mut self, mut new: NewLog, since: &[Entry]) -> io::Result<()> {
        since.iter().try_for_each(|entry| new.append(entry))?;
        fs::rename(&new.path, self.folder.join(LOG))?;
        new.is_in_place = true;
        (self.file, self.end) = (new.file.clone(), new.end);
        Ok(())
    }
}

/// A log that is being written beside the one in force. It must not keep the space that that one needs: dropping it removes it.
#[derive(Debug)]
pub(crate) struct NewLog {
    path: PathBuf,
    file: Arc<File>,
    end: u64,
    is_in_place: bool,
}

impl NewLog {
    /// Writes these entries.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn write(folder: &Path, entries: Vec<Entry>) -> io::Result<Self> {
        let path = folder.join(NEW);
        let file = private_files::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        let mut new = Self { path, file: Arc::new(file), end: 0, is_in_place: false };
        entries.iter().try_for_each(|entry| new.append(entry))?;
        new.file.sync_data()?;
        Ok(new)
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let frame = frame(entry)?;
        (&*self.file).write_all(&frame)?;
        self.end += frame.len() as u64;
        Ok(())
    }
}

impl Drop for NewLog {
    fn drop(&mut self) {
        if !self.is_in_place {
            // one that stays is overwritten by the next
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// Reads the log of a folder that another process has, from its beginning.
///
/// # Errors
/// What the disk says.
pub(crate) fn read_other(folder: &Path) -> io::Result<Vec<Entry>> {
    let (entries, _) = read(&fs::read(folder.join(LOG))?)?;
    Ok(entries)
}

fn frame(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, &entry.fact)?;
    let fact = length(frame.len() - HEAD)?.to_le_bytes();
    let body = length(entry.body.len())?.to_le_bytes();
    frame.extend_from_slice(&entry.body);
    frame[..4].copy_from_slice(&fact);
    frame[4..8].copy_from_slice(&body);
    let sum = checksum(&frame[..8], &frame[HEAD..]);
    frame[8..HEAD].copy_from_slice(&sum);
    Ok(frame)
}

fn length(bytes: usize) -> io::Result<u32> {
    let fits = u32::try_from(bytes).ok().filter(|length| *length <= LONGEST);
    fits.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "longer than a frame of the log may be"))
}

fn checksum(lengths: &[u8], rest: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(lengths).update(rest);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    sum
}

/// All whole frames from the beginning, and where the last of them ends.
///
/// # Errors
/// That a frame is whole and says what this release does not know. What is behind it must not be cut off as torn.
fn read(bytes: &[u8]) -> io::Result<(Vec<Entry>, u64)> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while let Some((fact, body)) = first(&bytes[at..]) {
        let unknown = |error| {
            let why = format!(
                "the entry at byte {at} of the log is not one of this release ({error}); start the release that wrote it"
            );
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        let known = serde_json::from_slice(fact).map_err(unknown)?;
        // a copy, so that one small body does not keep the whole file in memory
        entries.push(Entry { fact: known, body: Bytes::copy_from_slice(body) });
        at += HEAD + fact.len() + body.len();
    }
    Ok((entries, at as u64))
}

/// The fact and the body of the whole frame that these bytes begin with.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (fact, body) = (number(0)?, number(4)?);
    if fact > LONGEST || body > LONGEST {
        return None;
    }
    let rest = bytes.get(HEAD..HEAD + fact as usize + body as usize)?;
    (checksum(&bytes[..8], rest) == bytes[8..HEAD]).then(|| rest.split_at(fact as usize))
}
