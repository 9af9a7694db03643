//! What the YAML says of the ledger. Opens nothing.

mod database;
mod export;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use plugin_api::{ByteSize, Count, Period};
use prices::Price;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use database::Database;
pub use export::{CloudEventsSettings, Compression, ExportSettings, ParquetSettings, Source};

/// One row per request, in a database. It is written to a journal on the local disk first, so that no crash loses it, and no
/// request waits for the database.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `sqlite://FILE`, or `postgres://user:password@host/name`.
    pub database: Database,
    /// Another database with the same content, from which `tollgate usage` and the dashboard read: a replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_url: Option<Database>,
    /// Who brings the database's schema up to date.
    pub migrate: Migrate,
    /// Connections to the database.
    pub pool: PoolSettings,
    /// Where rows wait for the database.
    pub journal: JournalSettings,
    /// What of the bodies is kept.
    pub store: StoreBodies,
    /// How long rows are kept.
    pub retention: Retention,
    /// A folder to which rows are written before they are deleted. Absent: they are deleted only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<PathBuf>,
    /// Where rows go besides the database.
    #[serde(skip_serializing_if = "ExportSettings::is_empty")]
    pub export: ExportSettings,
    /// A statement that takes longer is logged and counted.
    pub slow_query: Period,
    /// How many tenants have a label of their own in `tollgate_cost_usd_total`. Further ones are `other`; with 0 the label is empty.
    pub tenant_labels: Count<0, 1000>,
    /// Whether streams of `OpenAI` chat and completions are asked for their usage where the client does not ask.
    pub openai_stream_usage: OpenAiStreamUsage,
    /// Prices of models by name, in place of those that come with the gateway. A name may end with `*`; of several the longest
    /// counts.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub prices: IndexMap<String, Price>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: Database::Sqlite("tollgate.db".into()),
            read_url: None,
            migrate: Migrate::default(),
            pool: PoolSettings::default(),
            journal: JournalSettings::default(),
            store: StoreBodies::default(),
            retention: Retention::default(),
            archive: None,
            export: ExportSettings::default(),
            slow_query: Period::from_secs(5),
            tenant_labels: Count::clamped(0),
            openai_stream_usage: OpenAiStreamUsage::default(),
            prices: IndexMap::new(),
        }
    }
}

/// Who brings the database's schema up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Migrate {
    /// The gateway, at its start; of many, one does.
    #[default]
    Auto,
    /// `tollgate migrate`. The gateway writes nothing as long as the schema is not what it should be; the rows wait.
    Check,
    /// Neither: the gateway does not check the schema.
    Off,
}

/// Connections to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// The most at a time. The ledger writes with one; reading may take more.
    pub max: NonZeroU32,
    /// An idle one is closed after so long.
    pub idle_timeout: Period,
    /// How long it may take to connect.
    pub connect_timeout: Period,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max: NonZeroU32::MIN.saturating_add(19),
            idle_timeout: Period::from_secs(30),
            connect_timeout: Period::from_secs(2),
        }
    }
}

/// Where rows wait for the database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    /// Its folder, which no other gateway may use at the same time. Absent: the `SQLite` file's name with `.journal` behind
    /// it, or `tollgate.journal` beside the configuration where the database is no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The most bytes that wait on the disk. Beyond three quarters of it bodies are left out; beyond all of it rows are lost, and
    /// counted.
    pub max_bytes: ByteSize,
    /// The most bytes that stay on the disk for what reads the journal besides the database, such as `telemetry.otlp`. Beyond it the oldest rows
    /// are lost there, and counted; the ledger loses none.
    pub consumers_max_bytes: ByteSize,
    /// What it takes to lose rows that the database does not have yet.
    pub sync: Sync,
}

impl Default for JournalSettings {
    fn default() -> Self {
        let (max_bytes, consumers_max_bytes) = (ByteSize::mebibytes(1024), ByteSize::mebibytes(1024));
        Self { path: None, max_bytes, consumers_max_bytes, sync: Sync::default() }
    }
}

/// When rows in the journal are forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// When the system likes: they survive the death of the process, but those of the last seconds not that of the machine.
    None,
    /// Once a second, away from requests: a machine that loses its power loses the last second.
    #[default]
    Interval,
}

/// What of the bodies is kept, byte for byte but for keys, which are overwritten. A compressed answer is kept as it came, and keys
/// in it with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreBodies {
    /// The bodies of calls to models.
    pub request_body: bool,
    /// The bodies of answers to them.
    pub response_body: bool,
    /// The pieces in which the answers came, each with its time.
    pub chunks: bool,
    /// What of a body is kept at the most; the rest is cut off.
    pub max_body: ByteSize,
}

impl Default for StoreBodies {
    fn default() -> Self {
        Self { request_body: false, response_body: false, chunks: false, max_body: ByteSize::mebibytes(1) }
    }
}

impl StoreBodies {
    /// Whether anything is kept.
    #[must_use]
    pub(crate) fn any(&self) -> bool {
        self.request_body || self.response_body || self.chunks
    }
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Rows (`13 months`). On Postgres whole months are dropped, once their last row is older. Absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Period>,
    /// Bodies and chunks. Absent: as long as their rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies: Option<Period>,
}

/// Whether streams are asked for their usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpenAiStreamUsage {
    /// They are, by `stream_options.include_usage`, where the client does not ask; what comes of it is taken out again on its
    /// way to the client.
    Inject,
    /// They are not: a stream whose client does not ask has no usage.
    #[default]
    Off,
}

/// What the database needs to know of the settings. Paths are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The database to write to.
    pub database: Database,
    /// Who brings its schema up to date.
    pub migrate: Migrate,
    /// Connections to it.
    pub pool: PoolSettings,
    /// How long rows are kept.
    pub retention: Retention,
    /// Where rows go before they are deleted.
    pub archive: Option<PathBuf>,
    /// A statement that takes longer is logged and counted.
    pub slow_query: Duration,
}

impl Config {
    /// What the database needs to know; relative paths start from `base`.
    #[must_use]
    pub fn store_settings(&self, base: &Path) -> StoreSettings {
        StoreSettings {
            database: self.database.under(base),
            migrate: self.migrate,
            pool: self.pool,
            retention: self.retention,
            archive: self.archive.as_ref().map(|folder| base.join(folder)),
            slow_query: self.slow_query.get(),
        }
    }

    /// Where the journal is kept; relative paths start from `base`.
    #[must_use]
    pub fn journal_folder(&self, base: &Path) -> PathBuf {
        match (&self.journal.path, self.database.under(base)) {
            (Some(path), _) => base.join(path),
            (None, Database::Sqlite(file)) => {
                let mut name = file.into_os_string();
                name.push(".journal");
                name.into()
            }
            (None, Database::Postgres(_)) => base.join("tollgate.journal"),
        }
    }

    /// The setting by which this ledger cannot be the same as another although their journal is the same; none if it can, or
    /// if each has its own. Relative paths start from `base`.
    #[must_use]
    pub fn differs_from(&self, other: &Self, base: &Path) -> Option<&'static str> {
        if self.journal_folder(base) != other.journal_folder(base) {
            return None;
        }
        let (own, others) = (self.store_settings(base), other.store_settings(base));
        let settings = [
            ("database", own.database == others.database),
            ("migrate", own.migrate == others.migrate),
            ("pool", own.pool == others.pool),
            ("journal.max_bytes", self.journal.max_bytes == other.journal.max_bytes),
            ("journal.consumers_max_bytes", self.journal.consumers_max_bytes == other.journal.consumers_max_bytes),
            ("journal.sync", self.journal.sync == other.journal.sync),
            ("retention", own.retention == others.retention),
            ("archive", own.archive == others.archive),
            ("export", self.export == other.export),
            ("slow_query", own.slow_query == others.slow_query),
        ];
        settings.into_iter().find_map(|(name, same)| (!same).then_some(name))
    }

    /// The database to read from; relative paths start from `base`.
    #[must_use]
    pub fn read_database(&self, base: &Path) -> Database {
        self.read_url.as_ref().unwrap_or(&self.database).under(base)
    }
}
