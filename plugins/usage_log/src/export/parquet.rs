//! Parquet files by hour, each written anew as a whole once rows of its hour have waited for a while. The rows are the database's: late
//! ones and corrections are in it, and a file has each row once, as it is in the end.

mod earlier;
mod hour_file;
mod hours;
mod part_file;
mod table;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use log::{info, warn};

use crate::consumers::{Delivery, Sink, SinkContext, SinkError};
use crate::report::Report;
use crate::shipper::{Backoff, Outage};
use crate::{Compression, Database, ParquetSettings, PoolSettings, Timestamp};
use hour_file::NotWritten;
use hours::{Hours, Mark};

/// The file beside the journal with the hours that are to be written.
const HOURS: &str = "parquet.hours";
/// After so long files are left for the next time: new rows are to be noted.
const AT_A_TIME: Duration = Duration::from_secs(5);

/// What is written, and from where. Paths are final.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParquetConfig {
    pub(crate) settings: ParquetSettings,
    /// The ledger's database.
    pub(crate) database: Database,
    pub(crate) pool: PoolSettings,
}

impl ParquetConfig {
    /// The export of these settings; relative paths start from `base`.
    pub(crate) fn new(config: &crate::Config, base: &Path) -> Option<Self> {
        let settings = config.export.parquet.as_ref()?;
        let settings = ParquetSettings { folder: base.join(&settings.folder), ..settings.clone() };
        Some(Self { settings, database: config.database.under(base), pool: config.pool })
    }
}

/// Takes note of hours, and writes their files.
pub(crate) struct ParquetSink {
    config: ParquetConfig,
    context: SinkContext,
    /// Once its file was read.
    hours: Option<Hours>,
    report: Option<Report>,
    backoff: Backoff,
    outage: Outage,
    /// Nothing is tried before.
    retry_at: Instant,
}

impl ParquetSink {
    /// One that has written nothing yet.
    pub(crate) fn new(config: &ParquetConfig, context: SinkContext) -> Self {
        let (backoff, outage) = (Backoff::default(), Outage::default());
        Self { config: config.clone(), context, hours: None, report: None, backoff, outage, retry_at: Instant::now() }
    }

    fn hours(&mut self) -> Result<&mut Hours, SinkError> {
        let file = self.context.journal.folder().join(HOURS);
        match &mut self.hours {
            Some(hours) => Ok(hours),
            none => Ok(none.insert(Hours::open(file.clone()).map_err(|error| unkept(&file, &error))?)),
        }
    }

    /// Writes the files that are due: all of them where nothing comes any more.
    async fn write_due(&mut self, ending: bool) -> Result<(), SinkError> {
        let refresh = i64::try_from(self.config.settings.refresh.get().as_micros()).unwrap_or(i64::MAX);
        let began = Instant::now();
        // what the database does not have yet is no file's
        let (stored, has_all) = (self.context.journal.stored().to_string(), self.context.journal.waiting() == 0);
        let is_due = |mark: &&Mark| {
            let is_old = ending || now().micros().saturating_sub(mark.since.micros()) >= refresh;
            is_old && (has_all || mark.to <= stored)
        };
        let due: Vec<Mark> = self.hours()?.marks().iter().filter(is_due).cloned().collect();
        if began >= self.retry_at || ending {
            for mark in due {
                match self.write(&mark).await {
                    Ok(()) => self.succeeded(),
                    Err(error) => {
                        self.failed(&error);
                        if error.kind == NotWritten::DATABASE {
                            self.report = None;
                            break;
                        }
                    }
                }
                if began.elapsed() > AT_A_TIME && !ending {
                    break;
                }
            }
        }
        let marks = self.hours()?.marks();
        let (rows, oldest) = (marks.iter().map(|mark| mark.rows).sum(), marks.iter().map(|mark| mark.since).min());
        let until = oldest.map(|oldest| Timestamp::from_micros(oldest.micros().saturating_add(refresh)));
        self.context.progress.holds(rows, until);
        Ok(())
    }

    async fn write(&mut self, mark: &Mark) -> Result<(), NotWritten> {
        let ParquetConfig { settings, database, pool } = &self.config;
        let report = match &self.report {
            Some(report) => report,
            None => {
                let report = Report::open(database, pool).map_err(|error| NotWritten::database(&error))?;
                self.report.insert(report)
            }
        };
        let is_compressed = settings.compression == Compression::Zstd;
        hour_file::write(report, &settings.folder, is_compressed, mark.hour, mark.instance).await?;
        let file = self.context.journal.folder().join(HOURS);
        let hours = self.hours.as_mut();
        // where that cannot be noted, the same file is written again
        hours.map_or(Ok(()), |hours| hours.written(mark, now())).map_err(|error| NotWritten::disk(&file, &error))
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        if let Some(seconds) = self.outage.end(Instant::now()) {
            info!(seconds; "the ledger's Parquet files are written again");
        }
    }

    /// Reading the journal goes on meanwhile, so that it need not keep anything for these files.
    fn failed(&mut self, NotWritten { kind, why }: &NotWritten) {
        self.context.metrics.consumer_failed(self.context.progress.name(), kind);
        self.retry_at = Instant::now() + self.backoff.next();
        if let Some(seconds) = self.outage.goes_on(Instant::now()) {
            warn!(kind, why:%, seconds; "the ledger's Parquet files cannot be written; their hours wait");
        }
    }
}

#[async_trait]
impl Sink for ParquetSink {
    async fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        let file = self.context.journal.folder().join(HOURS);
        let noted = self.hours()?.note(&delivery.records, &delivery.to.to_string(), now());
        noted.map_err(|error| unkept(&file, &error))?;
        self.write_due(false).await
    }

    async fn idle(&mut self, ending: bool) -> Result<(), SinkError> {
        self.write_due(ending).await
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn unkept(file: &Path, error: &io::Error) -> SinkError {
    SinkError { kind: "disk", why: format!("{}: {error}", file.display()), retry_after: None }
}
