mod append;
mod blows;
mod consumers;
mod damage;
mod disk;
mod tail;
mod unknown;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::*;

/// A record of these tests.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    kind: Kind,
    /// Its number, or that of the record that it amends.
    number: u64,
    value: i64,
    body: Vec<u8>,
}

const FORMAT: u8 = 1;

/// Knows one format.
fn decode(entry: &Entry<'_>) -> Option<Decoded<Record>> {
    (entry.format == FORMAT).then(|| decode_any(entry)).flatten()
}

/// A later release: knows every format.
fn decode_any(entry: &Entry<'_>) -> Option<Decoded<Record>> {
    let (value, rest) = entry.record.split_first_chunk::<8>()?;
    let (amends, body) = rest.split_first_chunk::<8>()?;
    let (kind, amends) = (entry.kind?, u64::from_le_bytes(*amends));
    let record =
        Record { kind, number: entry.number.unwrap_or(amends), value: i64::from_le_bytes(*value), body: body.to_vec() };
    Some(Decoded { record, amends: (kind == Kind::Amendment).then_some(amends) })
}

/// What a journal has reported.
#[derive(Clone, Debug, Default)]
struct Reported(Arc<Mutex<Sums>>);

#[derive(Clone, Debug, Default)]
struct Sums {
    lost: u64,
    amendments: u64,
    unknown: u64,
}

impl Observer for Reported {
    fn on(&self, _: &Path, event: &Event<'_>) {
        let mut sums = self.0.lock().unwrap();
        match event {
            Event::Damaged { gaps, .. } => sums.lost += gaps,
            Event::Lost { loss, .. } => {
                sums.lost += loss.numbered + loss.unnumbered;
                sums.amendments += loss.amendments;
            }
            Event::Gone { uncounted: true, .. } | Event::Quarantined { uncounted: true, .. } => sums.lost += 1,
            Event::Unknown { records } => sums.unknown += records,
            _ => {}
        }
    }
}

/// A folder of its own, gone when dropped.
struct Folder(PathBuf, Mutex<Reported>);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("journal-{}", Uuid::now_v7()));
        Self(path, Mutex::default())
    }

    fn open(&self, max_bytes: u64) -> (Arc<Journal<Record>>, Reader<Record>) {
        self.open_as(max_bytes, decode)
    }

    fn open_as(&self, max_bytes: u64, decode: Decoder<Record>) -> (Arc<Journal<Record>>, Reader<Record>) {
        let reported = Reported::default();
        *self.1.lock().unwrap() = reported.clone();
        Journal::open(&self.0, Options { max_bytes }, decode, Box::new(reported)).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(&self.0).unwrap().into_iter().map(|number| segment::path(&self.0, number)).collect()
    }

    /// What was reported since the journal was opened.
    fn reported(&self) -> Sums {
        self.1.lock().unwrap().0.lock().unwrap().clone()
    }

    /// Records that were lost since the journal was opened, without amendments.
    fn lost(&self) -> u64 {
        self.reported().lost
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const PLENTY: u64 = 1 << 30;

fn record(value: i64) -> Record {
    Record { kind: Kind::Numbered, number: 0, value, body: b"/v1/messages".to_vec() }
}

fn with_body(value: i64, length: usize) -> Record {
    Record { body: vec![b'x'; length], ..record(value) }
}

/// Appends a record in a format, and gives it its number.
fn append_as(journal: &Journal<Record>, record: &mut Record, format: u8) -> Result<(), AppendError> {
    let number = journal.append(record.kind, format, |bytes| {
        bytes.extend_from_slice(&record.value.to_le_bytes());
        bytes.extend_from_slice(&record.number.to_le_bytes());
        bytes.extend_from_slice(&record.body);
    })?;
    record.number = number.unwrap_or(record.number);
    Ok(())
}

fn append(journal: &Journal<Record>, record: &mut Record) {
    append_as(journal, record, FORMAT).unwrap();
}

fn append_all(journal: &Journal<Record>, values: impl IntoIterator<Item = i64>) {
    values.into_iter().for_each(|value| append(journal, &mut record(value)));
}

fn values(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.value).collect()
}

/// All that waits, read and done with in batches.
fn drain(reader: &mut Reader<Record>) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch(7, usize::MAX).unwrap() {
        all.extend(values(&batch.records));
        reader.done(&batch).unwrap();
    }
    all
}

/// The records that an inspection finds, and what else it says.
fn inspected(folder: &Folder) -> (Vec<Record>, Inspection) {
    let mut records = Vec::new();
    let inspection = inspect(&folder.0, decode, |record| records.push(record)).unwrap();
    (records, inspection)
}
