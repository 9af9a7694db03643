//! `tollgate usage requeue`: writes quarantined rows to the database.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use plugin_api::CommandError;

use crate::report::{Requeued, requeue};
use crate::{Config, Store, StoreMetrics};

use super::journals;

pub(super) async fn run(file: &Path, ledgers: &[Config]) -> Result<ExitCode, CommandError> {
    let base = file.parent().unwrap_or("".as_ref());
    let mut code = ExitCode::SUCCESS;
    for ledger in journals(ledgers, base) {
        let settings = ledger.store_settings(base);
        let failed = |error: String| CommandError::new(format!("{}: {error}", settings.database));
        let mut store =
            Store::connect(&settings, &StoreMetrics::new()?).await.map_err(|error| failed(error.to_string()))?;
        store.migrate().await.map_err(|error| failed(error.to_string()))?;
        let requeued = requeue(&ledger.journal_folder(base), &mut store).await.map_err(failed)?;
        store.close().await;
        if requeued.refused > 0 || requeued.unreadable > 0 {
            code = ExitCode::FAILURE;
        }
        // a closed standard output does not matter
        let _ = writeln!(std::io::stdout(), "{}: {}", settings.database, summary(&requeued));
    }
    Ok(code)
}

fn summary(Requeued { new, known, refused, unreadable, why }: &Requeued) -> String {
    let mut summary = format!("{new} rows were requeued, {known} were there already, {refused} are refused again");
    if let Some(why) = why {
        summary.push_str(&format!(" ({why})"));
    }
    if *unreadable > 0 {
        summary.push_str(&format!(", {unreadable} lines cannot be read"));
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_them_is_one_line() {
        let mut requeued = Requeued { new: 3, known: 1, ..Requeued::default() };
        assert_eq!(summary(&requeued), "3 rows were requeued, 1 were there already, 0 are refused again");
        (requeued.refused, requeued.unreadable, requeued.why) = (2, 1, Some("no (P0001)".into()));
        assert!(summary(&requeued).ends_with("2 are refused again (no (P0001)), 1 lines cannot be read"));
    }
}
