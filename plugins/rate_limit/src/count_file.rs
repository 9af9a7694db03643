//! Counts of days and months in a file beside a ledger's journal: sums of exactly the records that are stored, with the last of them.
//! Each batch appends a line; the file is written anew when it has grown. Knows no limit and no meter.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use plugin_api::{LogLimit, RecordNumber, StoredCounts, Uuid};
use serde::{Deserialize, Serialize};

use crate::sums::{Key, Sums, is_old, key};

const NAME: &str = "limit_counts.jsonl";
/// A smaller file is not written anew, nor one that is less than so many times as large as when it was.
const SMALL: u64 = 256 << 10;
const GROWTH: u64 = 4;

/// The file.
#[derive(Debug)]
pub(crate) struct CountFile {
    path: PathBuf,
    /// Open for appending; none before it was written anew.
    file: Option<File>,
    sums: Sums,
    /// The disk has not taken all of them.
    is_behind: bool,
    mark: Option<RecordNumber>,
    bytes: u64,
    /// It is written anew at this size.
    full: u64,
}

/// A line: sums that take the place of earlier ones, and the last record in them.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    mark: Option<(Uuid, i64, i16)>,
    /// The limit and the caller in hexadecimal digits, the end of the day or month, and the sum.
    counts: Vec<(String, String, i64, i64)>,
}

impl CountFile {
    /// Reads the file in a folder. What cannot be read of it counts as not there, and is logged.
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join(NAME);
        let mut read =
            Self { path, file: None, sums: Sums::default(), is_behind: false, mark: None, bytes: 0, full: 0 };
        match fs::read_to_string(&read.path) {
            Ok(text) => read.take_lines(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                log::warn!(error:%, file:% = read.path.display(); "the counts of limits cannot be read; days and months begin anew");
            }
        }
        read
    }

    fn take_lines(&mut self, text: &str) {
        for line in text.lines() {
            // a line that was cut off by a full disk
            let Ok(Line { mark, counts }) = serde_json::from_str(line) else { continue };
            self.mark = mark.map(|(instance, sequence, revision)| RecordNumber { instance, sequence, revision });
            for (limit, subject, until, sum) in counts {
                if let (Some(limit), Some(subject)) = (digest(&limit), digest(&subject)) {
                    self.sums.set((limit, subject, until), sum);
                }
            }
        }
    }

    /// The last record in the sums.
    pub(crate) fn mark(&self) -> Option<RecordNumber> {
        self.mark
    }

    /// The sums.
    pub(crate) fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Adds records that are stored. Where the disk does not take them, they stay in memory until it does; see
    /// [`write_again`](Self::write_again).
    pub(crate) fn add(&mut self, records: &[StoredCounts<'_>], now: i64) {
        let mut changed = Vec::new();
        for count in records.iter().flat_map(|record| record.counts) {
            let key = key(count);
            if !is_old(&key, now) {
                self.sums.add(key, count.amount);
                changed.push(key);
            }
        }
        if changed.is_empty() {
            // whether these are counted again makes no difference
            return;
        }
        let last = records.iter().rev().map(|record| record.number).find(|number| number.sequence > 0);
        self.mark = last.or(self.mark);
        changed.sort_unstable();
        changed.dedup();
        let written = match &mut self.file {
            Some(file) if self.bytes < self.full => {
                let line = line(self.mark, changed.iter().map(|key| (*key, self.sums.get(key))));
                line.and_then(|line| file.write_all(&line).map(|()| self.bytes += line.len() as u64))
            }
            _ => self.rewrite(now),
        };
        self.note(written);
    }

    /// Drops the sums of days and months that ended long ago.
    pub(crate) fn forget_old(&mut self, now: i64) {
        self.sums.forget_old(now);
    }

    /// Writes what the disk did not take before.
    pub(crate) fn write_again(&mut self, now: i64) {
        if self.is_behind {
            let written = self.rewrite(now);
            self.note(written);
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        self.is_behind = written.is_err();
        if let Err(error) = written {
            self.file = None;
            static FAILED: LogLimit = LogLimit::new();
            if let Some(suppressed) = FAILED.pass(()) {
                log::warn!(error:%, file:% = self.path.display(), suppressed; "the counts of limits cannot be written; until they can, a kill forgets some");
            }
        }
    }

    /// Writes all sums.
    fn rewrite(&mut self, now: i64) -> io::Result<()> {
        self.sums.forget_old(now);
        let line = line(self.mark, self.sums.iter())?;
        private_files::replace(&self.path, &line)?;
        self.file = Some(fs::OpenOptions::new().append(true).open(&self.path)?);
        self.bytes = line.len() as u64;
        self.full = SMALL.max(self.bytes * GROWTH);
        Ok(())
    }
}

fn line(mark: Option<RecordNumber>, sums: impl Iterator<Item = (Key, i64)>) -> io::Result<Vec<u8>> {
    let hex = |digest: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*digest));
    let line = Line {
        mark: mark.map(|mark| (mark.instance, mark.sequence, mark.revision)),
        counts: sums.map(|((limit, subject, until), sum)| (hex(&limit), hex(&subject), until, sum)).collect(),
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn digest(hex: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)
}
