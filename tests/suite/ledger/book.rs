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

    /// Compares the sums with the rows, group by group, to the token and the picodollar.
    #[track_caller]
    pub fn sums_agree(&self) {
        let is_postgres = matches!(self, Self::Postgres(_));
        let money = |column: &str| {
            if is_postgres { format!("trim_scale({column}_usd * 1000000000000)") } else { format!("{column}_picos") }
        };
        let (cost, saved) = (money("cost"), money("saved_cost"));
        let (day, ended) = if is_postgres {
            (
                "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
                "to_char(date_trunc('minute', (created_at + response_time_ms * interval '1 ms') AT TIME ZONE 'UTC'), 'YYYY-MM-DD HH24:MI')",
            )
        } else {
            (
                "substr(created_at, 1, 10)",
                "strftime('%Y-%m-%d %H:%M', substr(created_at, 1, 19),
                    ((CAST(substr(created_at, 21, 3) AS integer) + response_time_ms) / 1000) || ' seconds')",
            )
        };
        let tokens =
            "input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens, reasoning_tokens";
        let sums =
            tokens.split(", ").map(|column| format!("coalesce(sum({column}), 0)")).collect::<Vec<_>>().join(", ");
        let error =
            "CASE WHEN outcome IN ('completed', 'cached') AND coalesce(response_status, 0) < 400 THEN 0 ELSE 1 END";
        let key = |span: &str, columns: &[&str]| {
            let texts = columns.iter().map(|column| format!("coalesce({column}, '~')"));
            std::iter::once(format!("substr({span}, 1, 16)")).chain(texts).collect::<Vec<_>>().join(", ")
        };
        let groups = ["tenant", "key_name", "api_key_hash", "user_id", "model", "domain"];
        let known = "CASE WHEN attempts = 0 OR cost IS NOT NULL THEN 1 ELSE 0 END";
        let rows = format!(
            "SELECT {}, sum(requests), sum(results), sum(errors), sum(hits), {sums},
                sum(CASE WHEN attempts = 0 THEN coalesce(cost, 0) ELSE cost END), sum({known}), sum(unpriced), coalesce(sum(saved), 0), sum(saved_tokens)
             FROM (
                SELECT {day} AS day, tenant, key_name, api_key_hash, user_id, coalesce(served_model, model) AS model, domain,
                    1 AS requests, 0 AS results, {error} AS errors,
                    CASE WHEN cache_status IN ('hit', 'coalesced') THEN 1 ELSE 0 END AS hits, {tokens}, {cost} AS cost, attempts,
                    CASE WHEN usage_source <> 'none' AND cost_usd IS NULL THEN 1 ELSE 0 END AS unpriced, {saved} AS saved,
                    coalesce(saved_input_tokens, 0) + coalesce(saved_output_tokens, 0) + coalesce(saved_cache_read_input_tokens, 0)
                        + coalesce(saved_cache_creation_input_tokens, 0) AS saved_tokens
                FROM api_requests UNION ALL
                SELECT {day}, tenant, key_name, api_key_hash, NULL, served_model, domain, 0, 1, 0, 0, {tokens}, {cost}, 1,
                    CASE WHEN cost_usd IS NULL THEN 1 ELSE 0 END, NULL, 0
                FROM batch_results
             ) AS used GROUP BY {} ORDER BY {0}",
            key("day", &groups),
            key("day", &groups),
        );
        let text = if is_postgres { "CAST(day AS text)" } else { "day" };
        let daily = format!(
            "SELECT {0}, sum(requests), sum(batch_results), sum(errors), sum(cache_hits), {sums},
                CASE WHEN sum(priced) = 0 THEN NULL ELSE sum({cost}) END, sum(priced), sum(unpriced), sum({saved}), sum(saved_tokens)
             FROM usage_daily GROUP BY {0} HAVING sum(requests) + sum(batch_results) <> 0 ORDER BY {0}",
            key(text, &groups)
        );
        assert_eq!(self.sql(&rows), self.sql(&daily), "by day");
        let groups = ["domain", "endpoint", "outcome", "reason"];
        let since = (SystemTime::now() - Duration::from_secs(24 * 3600)).into();
        let since = usage_log::report::text(since);
        let buckets = usage_log::report::BUCKETS.map(|most| most.to_string());
        let bucket =
            buckets.iter().map(|most| format!("WHEN response_time_ms <= {most} THEN '{most}' ")).collect::<String>();
        let reason = format!(
            "CASE WHEN {error} = 1 THEN coalesce(reason, error_type,
            CASE WHEN response_status >= 400 THEN 'status_' || response_status END) END"
        );
        let ended = format!(
            "(SELECT {ended} AS minute, domain, endpoint, outcome, {reason} AS reason, CASE {bucket} ELSE 'inf' END AS bucket,
                {error} AS errors, {tokens}
             FROM api_requests WHERE created_at > '{since}' AND response_time_ms < 1000000000) AS ended"
        );
        let rows = key("minute", &groups);
        let rows = format!("SELECT {rows}, count(*), sum(errors), {sums} FROM {ended} GROUP BY {rows} ORDER BY {rows}");
        let text = if is_postgres { "to_char(minute AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')" } else { "minute" };
        let group = key(text, &groups);
        let minutes = format!(
            "SELECT {group}, sum(requests), sum(errors), {sums} FROM usage_minutes
             GROUP BY {group} HAVING sum(requests) <> 0 ORDER BY {group}"
        );
        assert_eq!(self.sql(&rows), self.sql(&minutes), "by minute");
        let rows = self.sql(&format!("SELECT bucket, count(*) FROM {ended} GROUP BY bucket"));
        let counts: Vec<String> = buckets
            .iter()
            .map(String::as_str)
            .chain(["inf"])
            .map(|name| format!("coalesce(sum(le_{name}), 0)"))
            .collect();
        let counts = self.sql(&format!("SELECT {} FROM usage_minutes", counts.join(", ")));
        let counts = buckets.iter().map(String::as_str).chain(["inf"]).zip(counts.split('|'));
        let mut counts: Vec<String> =
            counts.filter(|(_, count)| *count != "0").map(|(name, count)| format!("{name}|{count}")).collect();
        counts.sort();
        let mut expected: Vec<&str> = rows.lines().collect();
        expected.sort_unstable();
        assert_eq!(expected, counts, "by latency");
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
