//! What the ledger's scenarios share: a database of either engine, queried as an operator does, and rows to write.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use usage_log::{
    Config, Cost, Housekeeper, Migrate, Reading, Record, Retention, Row, Store, StoreError, StoreMetrics,
    StoreSettings, Timestamp, Tokens, UsageSource,
};

use crate::harness::{Folder, Postgres, eventually, postgres};

/// A database that a ledger is kept in.
pub enum Book {
    Postgres(Box<Postgres>),
    Sqlite(Folder),
}

impl Book {
    /// One of each engine, empty.
    pub async fn both() -> [Self; 2] {
        [Self::Postgres(Box::new(postgres().await)), Self::Sqlite(Folder::new())]
    }

    /// Its address for the YAML.
    pub fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join("ledger.db").display()),
        }
    }

    /// A folder for the journal of the one gateway that writes to it.
    pub fn journal(&self) -> PathBuf {
        match self {
            Self::Postgres(server) => server.folder().join("journal"),
            Self::Sqlite(folder) => folder.path().join("journal"),
        }
    }

    /// What an operator sees: lines of columns with `|` between.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        self.ask(statement).unwrap_or_else(|error| panic!("{error}\nof\n{statement}"))
    }

    /// The same, or what the database says against it: that it has no such table, while a gateway has yet to make it.
    pub fn ask(&self, statement: &str) -> Result<String, String> {
        match self {
            Self::Postgres(server) => server.ask("ledger", statement),
            Self::Sqlite(folder) => sqlite(folder, statement),
        }
    }

    /// Waits until it has at least so many rows.
    pub async fn has_rows(&self, number: usize) {
        eventually("all rows", async || {
            let count = self.ask("SELECT count(*) FROM api_requests");
            count.is_ok_and(|count| count.parse::<usize>().unwrap() >= number)
        })
        .await;
    }

    /// A ledger in it, with its schema.
    pub async fn store(&self) -> Store {
        migrated(&settings(&self.url())).await.unwrap()
    }
}

/// Asks a file as an operator does who has no client but Python's.
fn sqlite(folder: &Folder, statement: &str) -> Result<String, String> {
    const ASK: &str = "import sqlite3, sys
for row in sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2]):
    print('|'.join('' if value is None else str(value) for value in row))";
    let output =
        Command::new("python3").args(["-c", ASK]).arg(folder.path().join("ledger.db")).arg(statement).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The settings of a ledger in a database, all others at their defaults.
pub fn settings(url: &str) -> StoreSettings {
    Config { database: url.parse().unwrap(), ..Config::default() }.store_settings("/".as_ref())
}

/// The same, keeping rows and bodies for so long (`400days`).
pub fn keeping(url: &str, rows: Option<&str>, bodies: Option<&str>) -> StoreSettings {
    let period = |text: &str| text.parse().unwrap();
    let retention = Retention { rows: rows.map(period), bodies: bodies.map(period) };
    StoreSettings { retention, ..settings(url) }
}

/// A ledger that is connected.
pub async fn connected(settings: &StoreSettings) -> Result<Store, StoreError> {
    Store::connect(settings, &StoreMetrics::new().unwrap()).await
}

/// A ledger that is connected and has its schema.
pub async fn migrated(settings: &StoreSettings) -> Result<Store, StoreError> {
    let mut store = connected(settings).await?;
    store.migrate().await?;
    Ok(store)
}

/// The minutes between two looks of the housekeeper are over at once. As many looks take all that the tests have.
const LOOKS: u64 = 8;

/// Has the housekeeping of a ledger done, look by look, by a clock that is right.
pub async fn housekept(store: &mut Store) -> Result<(), StoreError> {
    housekept_from(store, SystemTime::now()).await
}

/// The same by a clock that says this at the start of the gateway.
pub async fn housekept_from(store: &mut Store, start: SystemTime) -> Result<(), StoreError> {
    let reading = |minutes: u64| {
        let running = Duration::from_secs(minutes * 60);
        Reading { wall: (start + running).into(), running }
    };
    let mut keeper = Housekeeper::new(reading(0));
    for minutes in 1..=LOOKS {
        keeper.look(reading(minutes));
        store.maintain(&mut keeper).await?;
        keeper.look_after_work(reading(minutes));
    }
    Ok(())
}

/// The same settings, where nobody may change the schema.
pub fn only_checking(settings: &StoreSettings) -> StoreSettings {
    StoreSettings { migrate: Migrate::Check, ..settings.clone() }
}

/// So many rows of now, numbered from 1 on within an instance of their own.
pub fn rows(count: usize) -> Vec<Row> {
    let instance = plugin_api::Uuid::now_v7();
    (0..count).map(|number| Row { instance, sequence: number as i64 + 1, ..row(number) }).collect()
}

/// A row of now.
fn row(number: usize) -> Row {
    Row {
        id: plugin_api::Uuid::now_v7(),
        created_at: Timestamp::from(SystemTime::now()),
        domain: "test.example.com".into(),
        method: "POST".into(),
        path: "/v1/messages".into(),
        model: Some("claude-3-haiku-20240307".into()),
        request_type: "inference".into(),
        response_status: Some(200),
        response_time_ms: number as i64,
        tokens: Tokens { input: Some(number as i64), output: Some(100), ..Tokens::default() },
        usage_source: UsageSource::Reported,
        cost_usd: Some(Cost::from_picos(1_000_000 * number as i128)),
        outcome: "completed".into(),
        attempts: 1,
        ..Row::default()
    }
}

/// As records.
pub fn records(rows: impl IntoIterator<Item = Row>) -> Vec<Record> {
    rows.into_iter().map(|row| Record::Request(Box::new(row))).collect()
}

/// So many microseconds after the beginning of a day in UTC: `("2026-03-01", -1)` is February's last.
pub fn at(day: &str, micros: i64) -> Timestamp {
    Timestamp::from_micros(usage_log::report::moment(day).unwrap().micros() + micros)
}
