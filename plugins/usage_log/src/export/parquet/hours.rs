//! The hours with rows that no file has yet, on the disk before the journal's position passes those rows: however long files cannot be
//! written, no hour is forgotten, and the journal need not keep its rows.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use super::part_file::PartFile;
use crate::store::calendar;
use crate::{Record, Timestamp};

const HOUR: i64 = 3_600_000_000;
/// How often the counts are brought to the disk where no hour is new.
const COUNTS: Duration = Duration::from_secs(10);

/// An hour in UTC, by its first moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hour(Timestamp);

impl Hour {
    /// The hour of a moment.
    pub(crate) fn of(time: Timestamp) -> Self {
        Self(Timestamp::from_micros(time.micros().div_euclid(HOUR) * HOUR))
    }

    pub(crate) fn start(self) -> Timestamp {
        self.0
    }

    /// The first moment behind it.
    pub(crate) fn end(self) -> Timestamp {
        Timestamp::from_micros(self.0.micros().saturating_add(HOUR))
    }

    /// Its folder, by which Hive, Spark, `DuckDB` and Athena know it: `date=2026-11-29/hour=13`.
    pub(crate) fn folder(self) -> String {
        let text = self.to_string();
        let (date, hour) = text.split_once(' ').unwrap_or((&text, ""));
        format!("date={date}/hour={hour}")
    }
}

/// `2026-11-29 13`.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = calendar::text(self.0);
        f.write_str(text.split_once(':').map_or(text.as_str(), |(hour, _)| hour))
    }
}

impl Serialize for Hour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hour {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        let start = calendar::parse(&format!("{text}:00"));
        start.map(Self::of).ok_or_else(|| de::Error::custom("this is not an hour"))
    }
}

/// An hour of a run, with rows that its file does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) hour: Hour,
    pub(super) instance: Uuid,
    /// As many records came since its file was written. A kill may lose some of this figure, but not the mark.
    pub(super) rows: u64,
    /// When the first of them came.
    pub(super) since: Timestamp,
    /// Up to which place in the journal.
    pub(super) to: String,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Hours {
    file: PathBuf,
    marks: Vec<Mark>,
    saved: Timestamp,
}

impl Hours {
    /// Those that a file has; none where it is not there yet.
    ///
    /// # Errors
    /// That it cannot be read.
    pub(super) fn open(file: PathBuf) -> io::Result<Self> {
        let marks = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { file, marks, saved: Timestamp::default() })
    }

    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Marks the hours of these records, which end at this place in the journal. They are on the disk then.
    ///
    /// # Errors
    /// The disk does not take them, and nothing is marked.
    pub(super) fn note(&mut self, records: &[Record], to: &str, now: Timestamp) -> io::Result<()> {
        let mut marks = self.marks.clone();
        let mut is_new = false;
        for record in records {
            let Record::Request(row) = record else { continue };
            let (hour, instance) = (Hour::of(row.created_at), row.instance);
            let known = marks.iter_mut().rfind(|mark| (mark.hour, mark.instance) == (hour, instance));
            match known {
                Some(mark) => {
                    mark.rows += 1;
                    if mark.to != to {
                        to.clone_into(&mut mark.to);
                    }
                }
                None => {
                    marks.push(Mark { hour, instance, rows: 1, since: now, to: to.to_owned() });
                    is_new = true;
                }
            }
        }
        self.replace(marks, is_new, now)
    }

    /// The file of an hour has all that was marked so far.
    ///
    /// # Errors
    /// The disk does not take note of it: a restart writes the same file again.
    pub(super) fn written(&mut self, mark: &Mark, now: Timestamp) -> io::Result<()> {
        self.marks.retain(|other| (other.hour, other.instance) != (mark.hour, mark.instance));
        self.replace(self.marks.clone(), true, now)
    }

    fn replace(&mut self, marks: Vec<Mark>, is_new: bool, now: Timestamp) -> io::Result<()> {
        let is_old = now.micros() - self.saved.micros() > i64::try_from(COUNTS.as_micros()).unwrap_or(i64::MAX);
        if is_new || (is_old && marks != self.marks) {
            let mut part = PartFile::create(&self.file)?;
            serde_json::to_writer_pretty(part.file(), &marks)?;
            part.finish()?;
            self.saved = now;
        }
        self.marks = marks;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;
    use crate::tests::Folder;

    fn record(time: &str, instance: u128) -> Record {
        let (created_at, instance) = (calendar::parse(time).unwrap(), Uuid::from_u128(instance));
        Record::Request(Box::new(Row { created_at, instance, ..Row::default() }))
    }

    #[test]
    fn an_hour_is_a_folder() {
        let hour = Hour::of(calendar::parse("2026-11-29 03:59:59.999999").unwrap());
        assert_eq!(hour.folder(), "date=2026-11-29/hour=03");
        assert_eq!(Hour::of(hour.end()).to_string(), "2026-11-29 04");
        assert_eq!(Hour::of(Timestamp::from_micros(-1)).folder(), "date=1969-12-31/hour=23");
        assert_eq!(serde_json::from_str::<Hour>(&serde_json::to_string(&hour).unwrap()).unwrap(), hour);
    }

    #[test]
    fn what_is_marked_is_on_the_disk_until_it_is_written() {
        let folder = Folder::new();
        let file = folder.0.join("parquet.hours");
        let now = calendar::parse("2026-11-29 14:00").unwrap();
        let mut hours = Hours::open(file.clone()).unwrap();
        let records = [record("2026-11-29 13:59", 1), record("2026-11-29 14:00", 1), record("2026-11-29 13:00", 2)];
        hours.note(&records, "1", now).unwrap();
        let known = Hours::open(file.clone()).unwrap();
        assert_eq!(known.marks().len(), 3);
        // a count alone is brought to the disk later
        hours.note(&[record("2026-11-29 13:10", 1)], "2", now).unwrap();
        assert_eq!(Hours::open(file.clone()).unwrap().marks(), known.marks());
        let marked = hours.marks()[0].clone();
        assert_eq!((marked.rows, marked.to.as_str(), marked.since), (2, "2", now));
        hours.written(&marked, now).unwrap();
        assert_eq!(Hours::open(file.clone()).unwrap().marks().len(), 2);
        fs::write(&file, "[{").unwrap();
        assert!(Hours::open(file).is_err());
    }

    #[test]
    fn where_the_disk_does_not_take_a_mark_there_is_none() {
        let folder = Folder::new();
        let mut hours = Hours::open(folder.0.join("none/parquet.hours")).unwrap();
        assert!(hours.note(&[record("2026-11-29 13:59", 1)], "1", Timestamp::default()).is_err());
        assert!(hours.marks().is_empty());
    }
}
