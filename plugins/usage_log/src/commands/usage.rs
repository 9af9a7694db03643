//! `tollgate usage`: who spent what, from the ledger, and whether any row of it is missing. Reads, and writes nothing but
//! its answer; only `requeue` writes rows.

mod figures;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod progress;
mod replay;
mod requeue;
mod verify;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::SystemTime;

use clap::{ArgMatches, FromArgMatches};
use plugin_api::{CommandContext, CommandError, Period};

use crate::report::{By, Filter, Line, Report, Sums, days, moment};
use crate::store::calendar;
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
    /// What to sum up for: model, domain, tenant, key, session, user, conversation, upstream, outcome, hour, day, month; several with
    /// commas.
    #[arg(long, value_delimiter = ',', value_name = "BY")]
    by: Vec<By>,
    /// From when on: a span of time before now (`24h`), or a moment in UTC (`2026-11-01`, `2026-11-01 13:30`).
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Until when, in the same way; now if it is not said.
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    #[command(flatten)]
    only: Only,
    /// What to sort lines by, the largest first; the names of what is summed up for if it is not said.
    #[arg(long, value_enum, value_name = "WHAT")]
    sort: Option<Sort>,
    /// How many lines to show, the first ones.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    top: Option<u64>,
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where to write it; standard output if it is not said.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Which rows to sum up; each of what is said must hold.
#[derive(Clone, Debug, clap::Args)]
struct Only {
    /// Only what this tenant called: its name, or else that of its key, or else the hash of that.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only what came with this key: its name, or else its hash.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Only what this user called.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only what this session called.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only the turns of this conversation.
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// Only what this model answered, or was asked for.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only what was asked of this host.
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
}

impl Only {
    fn filter(self) -> Filter {
        Filter::default()
            .and(By::Tenant, self.tenant)
            .and(By::Key, self.key)
            .and(By::User, self.user)
            .and(By::Session, self.session)
            .and(By::Conversation, self.conversation.map(|id| id.to_lowercase()))
            .and(By::Model, self.model)
            .and(By::Domain, self.domain.map(|host| host.to_lowercase()))
    }
}

/// What lines are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// What they cost; those of unknown cost are the last.
    Cost,
    /// Their tokens, of all classes.
    Tokens,
    /// Their requests.
    Requests,
    /// When the last of their requests began.
    Last,
}

impl Sort {
    /// Sorts lines, the largest first. Those that are alike stay in the order of their names.
    fn sort(self, lines: &mut [Line]) {
        lines.sort_by_key(|Line { sums, .. }| {
            Reverse(match self {
                Self::Cost => sums.known_cost(),
                Self::Tokens => Some(sums.tokens()),
                Self::Requests => Some(sums.requests + sums.batch_results),
                Self::Last => sums.last.map(|last| last.micros().into()),
            })
        });
    }
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Other {
    /// Compare journal and database, and say in one line whether any row is missing.
    Verify {
        /// The YAML file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say what past calls would have cost under the rules of a file: of their models, and of those that had no rules.
    Replay(Box<replay::Settings>),
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
            let looks_like_one = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('-');
            let why = if looks_like_one { "there is no such moment; " } else { "" };
            format!("{why}write a span of time before now like `24h`, or a moment in UTC like `2026-11-01 13:30`")
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
        Some(Other::Replay(settings)) => runtime.block_on(replay::run(*settings, context)),
        Some(Other::Requeue { config }) => runtime.block_on(requeue::run(&config, &context.settings(&config)?)),
        None => runtime.block_on(sum_up(settings, context)),
    }
}

async fn sum_up(settings: Settings, context: &CommandContext<'_, Config>) -> Result<ExitCode, CommandError> {
    let Settings { config, by, since, until, only, sort, top, format, output, .. } = settings;
    let (filter, now) = (only.filter(), Timestamp::from(SystemTime::now()));
    let (since, until) = span(since, until, now)?;
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
    let with_last = by.contains(&By::Conversation) || sort == Some(Sort::Last);
    let mut all: BTreeMap<Vec<Option<String>>, Sums> = BTreeMap::new();
    for (database, pool) in &databases {
        let failed = |error| CommandError::new(format!("{database}: {error}"));
        let report = Report::open(database, pool).map_err(failed)?;
        // nothing is older than the first row
        let first = report.first().await.map_err(failed)?.unwrap_or(until);
        let since = since.map_or(first, |since| since.max(first));
        // day by day: no statement runs long, and one sees how far it is
        let days: Vec<_> = days(since, until).collect();
        let mut progress = Progress::new(days.len());
        for (from, to) in days {
            for Line { group, sums } in report.sums_of(&by, &filter, with_last, from, to).await.map_err(failed)? {
                *all.entry(group).or_default() += sums;
            }
            progress.step();
        }
    }
    let mut lines: Vec<Line> = all.into_iter().map(|(group, sums)| Line { group, sums }).collect();
    let mut all = Sums::default();
    lines.iter().for_each(|line| all += line.sums);
    if let Some(sort) = sort {
        sort.sort(&mut lines);
    }
    let most = top.and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
    let left_out = lines.len().saturating_sub(most);
    lines.truncate(most);
    let mut names: Vec<&str> = by.iter().map(|by| by.as_str()).collect();
    if with_last {
        names.push("last");
        lines.iter_mut().for_each(|line| line.group.push(line.sums.last.map(second)));
    }
    output::write(&names, &output::Shown { lines, all, left_out }, format, output.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// The span of time that is asked for. Rows from the future there are none, so that nobody waits for days that are to come.
///
/// # Errors
/// That it ends before it begins, or begins in the future.
fn span(
    since: Option<When>,
    until: Option<When>,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Timestamp), CommandError> {
    let (since, until) = (since.map(When::get), until.map_or(now, When::get));
    if let Some(since) = since {
        let since_text = second(since);
        if since > now {
            return Err(CommandError::new(format!("`--since` is {since_text}, which is still to come")));
        }
        if since > until {
            let until = second(until);
            return Err(CommandError::new(format!("`--until` is {until}, which is before `--since`, {since_text}")));
        }
    }
    Ok((since, until.min(now)))
}

/// A moment to the second, in UTC.
fn second(time: Timestamp) -> String {
    calendar::text(time).chars().take("2026-11-24 13:30:00".len()).collect()
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
        assert!("yesterday".parse::<When>().unwrap_err().starts_with("write a span of time before now like `24h`"));
        for none in ["2026-02-30", "2026-13-01", "2026-02-28 24:00", "2025-02-29"] {
            assert!(none.parse::<When>().unwrap_err().starts_with("there is no such moment; "), "{none}");
        }
    }

    #[test]
    fn a_span_of_time_has_come_and_ends_after_its_beginning() {
        let at = |text| moment(text).unwrap();
        let (now, when) = (at("2026-11-24 12:00"), |text| Some(When::At(at(text))));
        let span = |since, until| span(since, until, now).map_err(|error| error.to_string());
        assert_eq!(span(None, None), Ok((None, now)));
        assert_eq!(span(when("2026-11-01"), when("2999-01-01")), Ok((Some(at("2026-11-01")), now)));
        let error = span(when("2026-11-02"), when("2026-11-01")).unwrap_err();
        assert_eq!(error, "`--until` is 2026-11-01 00:00:00, which is before `--since`, 2026-11-02 00:00:00");
        let error = span(when("2026-12-01"), when("2026-12-02")).unwrap_err();
        assert_eq!(error, "`--since` is 2026-12-01 00:00:00, which is still to come");
    }

    #[test]
    fn lines_are_sorted_by_the_largest_and_unknown_costs_are_the_last() {
        let sums = |cost, unpriced, tokens, last| {
            let last = Some(Timestamp::from_micros(last));
            Sums { requests: 1, cost, unpriced, output_tokens: tokens, last, ..Sums::default() }
        };
        let line = |name: &str, sums| Line { group: vec![Some(name.into())], sums };
        let lines = [line("a", sums(0, 1, 9, 1)), line("b", sums(5, 0, 7, 3)), line("c", sums(7, 1, 8, 2))];
        let sorted = |sort: Sort| {
            let mut lines = lines.to_vec();
            sort.sort(&mut lines);
            lines.iter().map(|line| line.group[0].clone().unwrap()).collect::<String>()
        };
        let all = [Sort::Cost, Sort::Tokens, Sort::Requests, Sort::Last].map(sorted);
        assert_eq!(all, ["cba", "acb", "abc", "bca"]);
    }
}
