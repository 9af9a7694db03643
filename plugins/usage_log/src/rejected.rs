//! Records that the database refuses, in files beside the journal: `rejected.jsonl`, one JSON object a line, with the reason. The gateway
//! appends, and `tollgate usage requeue` takes the file away to try them again; a lock on the file keeps the two apart.

mod requeue;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Record;

pub use requeue::{Requeued, requeue};

/// The most that the gateway keeps of them.
pub(crate) const MOST: u64 = 256 << 20;

/// The file that is appended to.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("rejected.jsonl")
}

/// The file that was taken away, as long as it is not done with.
fn taken_path(folder: &Path) -> PathBuf {
    folder.join("rejected.taken.jsonl")
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    why: &'a str,
    record: &'a Record,
}

/// Appends a record to the file in a folder, unless there are too many already.
///
/// # Errors
/// That it cannot be kept there.
pub(crate) fn append(folder: &Path, record: &Record, why: &str) -> io::Result<()> {
    append_line(&path(folder), &line(record, why)?, MOST)
}

fn line(record: &Record, why: &str) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line { why, record })?;
    line.push(b'\n');
    Ok(line)
}

/// Appends a line to a file, unless that takes more bytes then.
///
/// # Errors
/// That it cannot be kept there; [`io::ErrorKind::FileTooLarge`] if there are too many already.
pub(crate) fn append_line(path: &Path, line: &[u8], most: u64) -> io::Result<()> {
    let mut file = locked(path, true)?;
    let length = file.metadata()?.len();
    if length + line.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "there are too many of them"));
    }
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    // a line that a crash or a full disk cut off spoils no other
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    file.write_all(line)
}

/// Takes the file away, where there is one: what is appended from now on is in another.
fn take(folder: &Path) -> io::Result<bool> {
    match locked(&path(folder), false) {
        Ok(_lock) => fs::rename(path(folder), taken_path(folder)).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The file of this name, locked against appends and removal by others.
fn locked(path: &Path, create: bool) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).append(true).create(create).mode(0o600).open(path)?;
        file.lock()?;
        let same = fs::metadata(path).is_ok_and(|there| {
            file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
        });
        // it was taken away meanwhile
        if same {
            return Ok(file);
        }
    }
}

/// The quarantined records of a journal.
#[derive(Clone, Debug, Default)]
pub struct Quarantine {
    /// The rows of requests, by instance and number.
    pub rows: HashSet<(Uuid, i64)>,
    /// Results of batches, and lines that cannot be read.
    pub others: u64,
}

/// Reads the quarantined records in a folder, also while a gateway has it open.
///
/// # Errors
/// That the disk cannot be read.
pub fn quarantined(folder: &Path) -> io::Result<Quarantine> {
    #[derive(Deserialize)]
    struct Line {
        record: Quarantined,
    }
    #[derive(Deserialize)]
    enum Quarantined {
        Request(Numbered),
        Batch(serde::de::IgnoredAny),
    }
    #[derive(Deserialize)]
    struct Numbered {
        instance: Uuid,
        sequence: i64,
    }
    let mut found = Quarantine::default();
    // what is taken away between the two is in both
    for path in [path(folder), taken_path(folder)] {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            match serde_json::from_slice(&line?) {
                Ok(Line { record: Quarantined::Request(row) }) => {
                    found.rows.insert((row.instance, row.sequence));
                }
                Ok(Line { record: Quarantined::Batch(_) }) | Err(_) => found.others += 1,
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
