//! `tollgate usage`: who spent what, from the ledger, and whether any row of it is missing. Reads, and writes nothing but
//! its answer; only `requeue` writes rows.

mod figures;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod progress;
mod requeue;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::SystemTime;

use clap::{ArgMatches, FromArgMatches};
use plugin_api::{CommandContext, CommandError, Period};

use crate::report::{By, Line, Report, Sums, days, moment};
use crate::{Config, Database, PoolSettings, Timestamp};

use output::Format;
use progress::Progress;

/// The arguments of `tollgate usage`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Settings {
    #[command(subcommand)]
    other: Option<Other>,
    /// The YAML file.
    #[arg(short, long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// What to sum up for: model, domain, tenant, key, session, user, upstream, outcome, hour, day, month; several with commas.
    #[arg(long, value_delimiter = ',', value_name = "BY")]
    by: Vec<By>,
    /// From when on: a span of time before now (`24h`), or a moment in UTC (`2026-11-01`, `2026-11-01 13:30`).
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Until when, in the same way; now if it is not said.
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where to write it; standard output if it is not said.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Other {
    /// Compare journal and database, and say in one line whether any row is missing.
    Verify {
        /// The YAML file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write the rows again that the database refused and that are quarantined.
    Requeue {
        /// The YAML file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// A moment, as the command line has it.
#[derive(Clone, Copy, Debug)]
enum When {
    Ago(Period),
    At(Timestamp),
}

impl When {
    fn get(self) -> Timestamp {
        match self {
            Self::Ago(period) => {
                SystemTime::now().checked_sub(period.get()).map_or(Timestamp::from_micros(0), Timestamp::from)
            }
            Self::At(time) => time,
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = || moment(text).map(Self::At);
        text.parse().map(Self::Ago).ok().or_else(at).ok_or_else(|| {
            "write a span of time before now like `24h`, or a moment in UTC like `2026-11-01 13:30`".into()
        })
    }
}

/// Answers, and ends with 1 where a row is missing.
///
/// # Errors
/// What keeps it from the answer: a configuration that is wrong, or a database that cannot be read.
pub(super) fn run(matches: &ArgMatches, context: &CommandContext<'_, Config>) -> Result<ExitCode, CommandError> {
    let settings = Settings::from_arg_matches(matches)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match settings.other {
        Some(Other::Verify { config }) => runtime.block_on(verify::run(&config, &context.settings(&config)?)),
        Some(Other::Requeue { config }) => runtime.block_on(requeue::run(&config, &context.settings(&config)?)),
        None => runtime.block_on(sum_up(settings, context)),
    }
}

async fn sum_up(settings: Settings, context: &CommandContext<'_, Config>) -> Result<ExitCode, CommandError> {
    let Settings { config, by, since, until, format, output, .. } = settings;
    let file = config.unwrap_or_default();
    let ledgers = context.settings(&file)?;
    let base = file.parent().unwrap_or("".as_ref());
    // routes may write to ledgers of their own; one that many write to is read once
    let mut databases: Vec<(Database, PoolSettings)> = Vec::new();
    for ledger in &ledgers {
        let database = ledger.read_database(base);
        if !databases.iter().any(|(known, _)| *known == database) {
            databases.push((database, ledger.pool));
        }
    }
    if databases.is_empty() {
        return Err(CommandError::new(format!("{}: no route has a `usage_log`", file.display())));
    }
    let until = until.map_or_else(|| Timestamp::from(SystemTime::now()), When::get);
    let since = since.map(When::get);
    let mut all: BTreeMap<Vec<Option<String>>, Sums> = BTreeMap::new();
    for (database, pool) in &databases {
        let failed = |error| CommandError::new(format!("{database}: {error}"));
        let report = Report::open(database, pool).map_err(failed)?;
        let since = match since {
            Some(since) => since,
            None => report.first().await.map_err(failed)?.unwrap_or(until),
        };
        // day by day: no statement runs long, and one sees how far it is
        let days: Vec<_> = days(since, until).collect();
        let mut progress = Progress::new(days.len());
        for (from, to) in days {
            for Line { group, sums } in report.sums(&by, from, to).await.map_err(failed)? {
                *all.entry(group).or_default() += sums;
            }
            progress.step();
        }
    }
    let lines: Vec<Line> = all.into_iter().map(|(group, sums)| Line { group, sums }).collect();
    output::write(&by, &lines, format, output.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// The ledgers, each journal once.
fn journals<'a>(ledgers: &'a [Config], base: &Path) -> Vec<&'a Config> {
    let mut found: Vec<&Config> = Vec::new();
    for ledger in ledgers {
        if !found.iter().any(|known| known.journal_folder(base) == ledger.journal_folder(base)) {
            found.push(ledger);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_so_long_ago_or_a_date() {
        assert!(matches!("24h".parse(), Ok(When::Ago(period)) if period == Period::from_secs(86_400)));
        assert!(matches!("2026-11-01".parse(), Ok(When::At(time)) if Some(time) == moment("2026-11-01")));
        assert!("yesterday".parse::<When>().unwrap_err().contains("like `24h`"));
    }
}
