//! `tollgate migrate`: brings the schemas of the ledgers' databases to what this build writes, where gateways may not.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use usage_log::{Migrate, Store, StoreMetrics, StoreSettings};

use crate::config;
use crate::usage::ledgers;

/// Brings the schema of every database that the file names up to date.
///
/// # Errors
/// What keeps it from that, in words for whoever gave the command.
pub fn run(file: &Path) -> Result<ExitCode, String> {
    let config = config::load(file).map_err(|errors| errors.to_string())?;
    let base = file.parent().unwrap_or("".as_ref());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let mut settings: Vec<StoreSettings> = Vec::new();
    for ledger in ledgers(&config) {
        let wanted = StoreSettings { migrate: Migrate::Auto, ..ledger.store_settings(base) };
        if !settings.iter().any(|known| known.database == wanted.database) {
            settings.push(wanted);
        }
    }
    if settings.is_empty() {
        return Err(format!("{}: no route has a `usage_log`", file.display()));
    }
    for settings in settings {
        let migrated = runtime.block_on(async {
            let metrics = StoreMetrics::new().map_err(|error| error.to_string())?;
            let mut store = Store::connect(&settings, &metrics).await.map_err(|error| error.to_string())?;
            store.migrate().await.map_err(|error| error.to_string())?;
            store.close().await;
            Ok::<_, String>(())
        });
        migrated.map_err(|error| format!("{}: {error}", settings.database))?;
        // whoever no longer listens has heard enough
        let _ = writeln!(std::io::stdout(), "{}: the schema is up to date", settings.database);
    }
    Ok(ExitCode::SUCCESS)
}
