//! Tries records again that the database refused. Whatever stops it midway, the next run begins again: the file that was taken away goes
//! only once each of its records is in the database or back in the other file, and the database takes each record once.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use tokio::time::timeout;

use super::{append_line, line, path, take, taken_path};
use crate::{Record, Store, StoreError, Written};

/// The most records of a batch, and how many bytes of lines they take.
const ROWS: usize = 500;
const BYTES: usize = 8 << 20;
/// How long the database may take for a batch.
const WRITE: Duration = Duration::from_secs(60);

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requeued {
    /// Records that are in the database now.
    pub new: u64,
    /// Records that it had already.
    pub known: u64,
    /// Records that it refuses again: they are kept.
    pub refused: u64,
    /// Lines that cannot be read: they are kept.
    pub unreadable: u64,
    /// Why the database refuses one of them.
    pub why: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    record: Record,
}

/// Brings the records that are quarantined in a folder into the database, and keeps those that it refuses again. A gateway may
/// run meanwhile.
///
/// # Errors
/// What keeps it from telling: the disk, the database, or another run. No record is lost or doubled by it.
pub async fn requeue(folder: &Path, store: &mut Store) -> Result<Requeued, String> {
    let mut requeued = Requeued::default();
    if !path(folder).exists() && !taken_path(folder).exists() {
        return Ok(requeued);
    }
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    let _lock = lock(folder)?;
    // what an earlier run could not end comes first
    for first in [true, false] {
        if first && !taken_path(folder).exists() || !first && !take(folder).map_err(failed)? {
            continue;
        }
        // what was kept of the first file is in the second, and is counted there
        (requeued.refused, requeued.unreadable) = (0, 0);
        all(folder, store, &mut requeued).await?;
        // what is back is on the disk before it goes from here
        if let Ok(file) = File::open(path(folder)) {
            file.sync_all().map_err(failed)?;
        }
        fs::remove_file(taken_path(folder)).map_err(failed)?;
    }
    Ok(requeued)
}

/// Only one run at a time.
fn lock(folder: &Path) -> Result<File, String> {
    let path = folder.join("requeue.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!("{}: another `usage requeue` is at work", folder.display())),
        Err(TryLockError::Error(error)) => Err(format!("{}: {error}", path.display())),
    }
}

/// Tries all that was taken away.
async fn all(folder: &Path, store: &mut Store, requeued: &mut Requeued) -> Result<(), String> {
    // of this file alone: what is kept of it is in the next one, which must keep it once more
    let mut kept = HashSet::new();
    let taken = taken_path(folder);
    let failed = |error: io::Error| format!("{}: {error}", taken.display());
    let mut lines = BufReader::new(File::open(&taken).map_err(failed)?).split(b'\n');
    let mut ended = false;
    while !ended {
        let (mut records, mut size) = (Vec::new(), 0);
        while records.len() < ROWS && size < BYTES {
            let Some(text) = lines.next() else {
                ended = true;
                break;
            };
            let mut text = text.map_err(failed)?;
            size += text.len();
            if let Ok(Line { record }) = serde_json::from_slice(&text) {
                records.push(record);
            } else if !text.is_empty() {
                text.push(b'\n');
                requeued.unreadable += u64::from(keep(folder, &text, &mut kept).map_err(failed)?);
            }
        }
        for (record, why) in write(store, &records, requeued).await? {
            let line = line(record, &why).map_err(failed)?;
            requeued.refused += u64::from(keep(folder, &line, &mut kept).map_err(failed)?);
            requeued.why = Some(why);
        }
    }
    Ok(())
}

/// Keeps a line for another time; whether that is the first of its kind. A run that was stopped may have kept it already.
fn keep(folder: &Path, line: &[u8], kept: &mut HashSet<[u8; 32]>) -> io::Result<bool> {
    let hash = digest(&SHA256, line);
    let is_new = hash.as_ref().try_into().is_ok_and(|hash| kept.insert(hash));
    if is_new {
        append_line(&path(folder), line, u64::MAX)?;
    }
    Ok(is_new)
}

/// Writes records: those that are refused, and why.
async fn write<'a>(
    store: &mut Store,
    records: &'a [Record],
    requeued: &mut Requeued,
) -> Result<Vec<(&'a Record, String)>, String> {
    let mut refused = Vec::new();
    let mut taken = |Written { new, known }| {
        requeued.new += new;
        requeued.known += known;
    };
    match attempt(store, records).await? {
        Ok(written) => taken(written),
        Err(_) => {
            for record in records {
                match attempt(store, std::slice::from_ref(record)).await? {
                    Ok(written) => taken(written),
                    Err(why) => refused.push((record, why)),
                }
            }
        }
    }
    Ok(refused)
}

async fn attempt(store: &mut Store, records: &[Record]) -> Result<Result<Written, String>, String> {
    match timeout(WRITE, store.write(records)).await {
        Ok(Ok(written)) => Ok(Ok(written)),
        Ok(Err(StoreError::Refused(why) | StoreError::Rejected(why))) => Ok(Err(why)),
        Ok(Err(StoreError::Unavailable(why))) => Err(format!("{why}; nothing is lost: run it again")),
        Err(_) => Err("the database does not answer; nothing is lost: run it again".into()),
    }
}
