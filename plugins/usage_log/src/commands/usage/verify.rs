//! `tollgate usage verify`: every row has a number; one that is neither in the database nor in the journal is missing.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::Config;
use crate::report::{Report, Waiting, quarantined, waiting};
use plugin_api::{CommandError, Uuid};

use super::journals;

/// A row may be on its way from the journal to the database while both are read: what is missing is missing twice.
const AGAIN: Duration = Duration::from_secs(2);
/// The most gaps that are listed.
const MAX_LISTED: usize = 10;

/// What is missing, and what is on its way.
struct Found {
    missing: BTreeMap<Uuid, Vec<i64>>,
    journal: Waiting,
    /// Quarantined records that are no rows of requests.
    others: u64,
}

impl Found {
    /// How many records are quarantined.
    fn quarantined(&self) -> u64 {
        self.journal.quarantined.len() as u64 + self.others
    }
}

pub(super) async fn run(file: &Path, ledgers: &[Config]) -> Result<ExitCode, CommandError> {
    let base = file.parent().unwrap_or("".as_ref());
    let mut code = ExitCode::SUCCESS;
    for ledger in journals(ledgers, base) {
        let mut found = look(ledger, base).await?;
        if !found.missing.is_empty() {
            tokio::time::sleep(AGAIN).await;
            let again = look(ledger, base).await?;
            found.missing.retain(|instance, numbers| {
                let still = again.missing.get(instance);
                // both in their order
                numbers.retain(|number| still.is_some_and(|still| still.binary_search(number).is_ok()));
                !numbers.is_empty()
            });
            (found.journal, found.others) = (again.journal, again.others);
        }
        if !found.missing.is_empty() || found.quarantined() > 0 {
            code = ExitCode::FAILURE;
        }
        // a closed standard output does not matter
        let _ = writeln!(std::io::stdout(), "{}: {}", ledger.database, verdict(&found));
    }
    Ok(code)
}

/// Reads the journal before the database: what is shipped in between is in both, and not in neither. A replica may lag behind, so
/// the database that is written to is asked.
async fn look(ledger: &Config, base: &Path) -> Result<Found, CommandError> {
    let folder = ledger.journal_folder(base);
    let journal = waiting(&folder).map_err(|error| CommandError::new(format!("{}: {error}", folder.display())))?;
    let others =
        quarantined(&folder).map_err(|error| CommandError::new(format!("{}: {error}", folder.display())))?.others;
    let database = ledger.database.under(base);
    let failed = |error| CommandError::new(format!("{database}: {error}"));
    let report = Report::open(&database, &ledger.pool).map_err(failed)?;
    let gaps = report.gaps_up_to(&journal.highest).await.map_err(failed)?;
    let mut missing: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
    for gap in gaps {
        let numbers = (gap.first..=gap.last).map(|number| (gap.instance, number));
        for (instance, number) in numbers.filter(|row| !journal.has(row)) {
            missing.entry(instance).or_default().push(number);
        }
    }
    Ok(Found { missing, journal, others })
}

fn verdict(found: &Found) -> String {
    let (rows, unknown, quarantined) = (found.journal.rows.len(), found.journal.unknown, found.quarantined());
    let unread =
        if unknown > 0 { format!(", {unknown} records there wait for a later release") } else { String::new() };
    let again = if quarantined > 0 { ", and `tollgate usage requeue` tries them again" } else { "" };
    let journal = format!("{rows} rows wait in the journal{unread}, {quarantined} are quarantined{again}");
    let missing: usize = found.missing.values().map(Vec::len).sum();
    if missing == 0 {
        return format!("no row is missing; {journal}");
    }
    let ranges = found.missing.iter().flat_map(|(instance, numbers)| {
        numbers.chunk_by(|one, next| one + 1 == *next).map(move |range| match range {
            [number] => format!("{instance} {number}"),
            [first, .., last] => format!("{instance} {first}-{last}"),
            [] => String::new(),
        })
    });
    let ranges: Vec<String> = ranges.collect();
    let more = if ranges.len() > MAX_LISTED { ", …" } else { "" };
    let listed = ranges.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    format!("{missing} rows are missing ({listed}{more}); {journal}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_one_line_with_all_that_is_missing() {
        let mut found = Found { missing: BTreeMap::new(), journal: Waiting::default(), others: 0 };
        found.journal.rows.insert((Uuid::nil(), 7));
        assert_eq!(verdict(&found), "no row is missing; 1 rows wait in the journal, 0 are quarantined");
        found.missing.insert(Uuid::nil(), vec![1, 4, 5, 6]);
        let id = Uuid::nil();
        assert_eq!(
            verdict(&found),
            format!("4 rows are missing ({id} 1, {id} 4-6); 1 rows wait in the journal, 0 are quarantined")
        );
        found.missing.clear();
        found.others = 2;
        let again = ", and `tollgate usage requeue` tries them again";
        assert_eq!(verdict(&found), format!("no row is missing; 1 rows wait in the journal, 2 are quarantined{again}"));
    }
}
