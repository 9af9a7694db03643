//! Writes the file of an hour: all rows of one run that began in it, as the database has them now. The same rows make the same file,
//! whichever process writes it and however often.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::earlier::Earlier;
use super::hours::Hour;
use super::part_file::{PartFile, create_folder};
use super::table::TableWriter;
use crate::columns::REQUESTS;
use crate::report::Report;
use crate::report::page::{Cell, PageQuery};
use crate::{StoreError, Timestamp};

/// Rows that are read at a time. One with a large `usage_data` takes 64 KiB.
const PAGE: usize = 500;
/// How long the database may take for them. A frozen one never says that it does not answer.
const READ: Duration = Duration::from_secs(60);

/// Why a file was not written: in a word for the metrics, and in full.
#[derive(Debug)]
pub(crate) struct NotWritten {
    pub(crate) kind: &'static str,
    pub(crate) why: String,
}

impl NotWritten {
    /// The database cannot be read.
    pub(super) const DATABASE: &'static str = "database";

    pub(super) fn disk(path: &Path, error: &dyn std::fmt::Display) -> Self {
        Self { kind: "disk", why: format!("{}: {error}", path.display()) }
    }

    pub(super) fn database(error: &StoreError) -> Self {
        Self { kind: Self::DATABASE, why: error.to_string() }
    }
}

/// Where the file of an hour of a run is.
pub(crate) fn path(folder: &Path, hour: Hour, instance: Uuid) -> PathBuf {
    folder.join(hour.folder()).join(format!("{instance}.parquet"))
}

/// By what rows come in order.
pub(super) type Key = (Timestamp, Uuid);

/// Writes it, in place of an earlier one, and returns the number of its rows. There is no file where there is no row. Rows of the earlier file
/// that the database has no more stay.
///
/// # Errors
/// The database cannot be read, or the disk does not take it. An earlier file is as it was.
pub(crate) async fn write(
    report: &Report,
    folder: &Path,
    is_compressed: bool,
    hour: Hour,
    instance: Uuid,
) -> Result<u64, NotWritten> {
    let path = path(folder, hour, instance);
    create_folder(path.parent().unwrap_or(folder)).map_err(|error| NotWritten::disk(&path, &error))?;
    let file = HourFile { path, is_compressed, hour, instance };
    match file.write(report, false).await? {
        Some(rows) => Ok(rows),
        None => Ok(file.write(report, true).await?.unwrap_or(0)),
    }
}

/// A file that is written.
struct HourFile {
    path: PathBuf,
    is_compressed: bool,
    hour: Hour,
    instance: Uuid,
}

impl HourFile {
    /// Writes it. Nothing is written, and no number returned, where the earlier file has rows that the database has no more, and these are not to
    /// be taken over: that costs a look at all of the earlier file.
    async fn write(&self, report: &Report, takes_over: bool) -> Result<Option<u64>, NotWritten> {
        let Self { path, is_compressed, hour, instance } = self;
        let disk = |error: &dyn std::fmt::Display| NotWritten::disk(path, error);
        let mut earlier = Earlier::open(path, takes_over).map_err(|error| disk(&error))?;
        let mut part = PartFile::create(path).map_err(|error| disk(&error))?;
        let notes = [("tollgate.hour", hour.to_string()), ("tollgate.instance", instance.to_string())];
        let into = BufWriter::new(part.file());
        let mut table = TableWriter::new(into, *is_compressed, &notes).map_err(|error| disk(&error))?;
        let mut query = PageQuery { instance: *instance, from: hour.start(), to: hour.end(), after: None, most: PAGE };
        let mut rows = 0;
        loop {
            let page = timeout(READ, report.page(&query)).await;
            let page = page.unwrap_or_else(|_| Err(StoreError::Unavailable("it does not answer".into())));
            let page = page.map_err(|error| NotWritten::database(&error))?;
            let is_last = page.len() < PAGE;
            query.after = page.last().and_then(|row| key(row));
            // behind the last page there is what is left of the earlier file
            for row in page.into_iter().map(Some).chain(is_last.then_some(None)) {
                let place = row.as_deref().and_then(key);
                if let Some(earlier) = &mut earlier {
                    while let Some(gone) = earlier.before(place).map_err(|error| disk(&error))? {
                        if !takes_over {
                            return Ok(None);
                        }
                        table.push(gone).map_err(|error| disk(&error))?;
                        rows += 1;
                    }
                    earlier.pass(place).map_err(|error| disk(&error))?;
                }
                if let Some(row) = row {
                    table.push(row).map_err(|error| disk(&error))?;
                    rows += 1;
                }
            }
            if is_last {
                break;
            }
        }
        let into = table.finish().map_err(|error| disk(&error))?;
        into.into_inner().map_err(|error| disk(&error.error()))?;
        if rows > 0 {
            part.finish().map_err(|error| disk(&error))?;
        }
        Ok(Some(rows))
    }
}

/// The key of a row.
pub(super) fn key(row: &[Cell]) -> Option<Key> {
    let cell = |name| REQUESTS.columns.iter().zip(row).find(|(column, _)| column.name == name).map(|(_, cell)| cell);
    match (cell("created_at")?, cell("id")?) {
        (Cell::Time(micros), Cell::Text(id)) => Some((Timestamp::from_micros(*micros), Uuid::try_parse(id).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use std::fs::File;

    use super::*;
    use crate::store::calendar;
    use crate::tests::Folder;
    use crate::{Config, Record, Row, Store, StoreMetrics};

    /// A database of this name with rows of these minutes and revisions.
    async fn database(folder: &Folder, name: &str, rows: &[(u8, i16)]) -> Report {
        let config = Config { database: crate::Database::Sqlite(folder.0.join(name)), ..Config::default() };
        let mut store = Store::connect(&config.store_settings(&folder.0), &StoreMetrics::new().unwrap()).await.unwrap();
        store.migrate().await.unwrap();
        for (minute, revision) in rows {
            let created_at = calendar::parse(&format!("2026-11-29 13:{minute:02}")).unwrap();
            let (id, instance) = (Uuid::from_u128((*minute).into()), Uuid::from_u128(7));
            let row =
                Row { id, created_at, instance, revision: *revision, sequence: (*minute).into(), ..Row::default() };
            store.write(&[Record::Request(Box::new(row))]).await.unwrap();
        }
        store.close().await;
        Report::open(&config.database, &config.pool).unwrap()
    }

    /// The minutes and revisions that the file has.
    fn found(folder: &Path) -> Vec<(u8, i32)> {
        let file = path(folder, Hour::of(calendar::parse("2026-11-29 13:00").unwrap()), Uuid::from_u128(7));
        let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
        let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns());
        let number = |row: &[(String, ::parquet::record::Field)], name: &str| {
            let (_, field) = row.iter().find(|(column, _)| column == name).unwrap();
            field.to_string().parse::<i32>().unwrap()
        };
        rows.map(|row| (u8::try_from(number(&row, "sequence")).unwrap(), number(&row, "revision"))).collect()
    }

    #[tokio::test]
    async fn a_file_has_the_rows_of_the_database_and_those_that_it_has_no_more() {
        let folder = Folder::new();
        let hour = Hour::of(calendar::parse("2026-11-29 13:59").unwrap());
        let export = folder.0.join("export");
        let write = async |report: &Report| write(report, &export, true, hour, Uuid::from_u128(7)).await.unwrap();
        let first = database(&folder, "first.db", &[(5, 0), (1, 0), (9, 0)]).await;
        assert_eq!(write(&first).await, 3);
        assert_eq!(found(&export), [(1, 0), (5, 0), (9, 0)]);
        // late, and corrected
        let first = database(&folder, "first.db", &[(3, 0), (5, 1)]).await;
        assert_eq!(write(&first).await, 4);
        assert_eq!(found(&export), [(1, 0), (3, 0), (5, 1), (9, 0)]);
        let second = database(&folder, "second.db", &[(4, 0), (5, 1), (20, 0)]).await;
        assert_eq!(write(&second).await, 6);
        assert_eq!(found(&export), [(1, 0), (3, 0), (4, 0), (5, 1), (9, 0), (20, 0)]);
        assert_eq!(write(&database(&folder, "empty.db", &[]).await).await, 6);
    }

    #[tokio::test]
    async fn where_there_is_no_row_there_is_no_file() {
        let folder = Folder::new();
        let hour = Hour::of(calendar::parse("2026-11-29 13:59").unwrap());
        let report = database(&folder, "empty.db", &[]).await;
        assert_eq!(write(&report, &folder.0, false, hour, Uuid::from_u128(7)).await.unwrap(), 0);
        assert_eq!(std::fs::read_dir(folder.0.join(hour.folder())).unwrap().count(), 0);
    }
}
