//! `tollgate migrate`: brings the schemas of the ledgers' databases to what this build writes, where gateways may not.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};
use plugin_api::{CommandContext, CommandError};

use crate::{Config, Migrate, Store, StoreMetrics, StoreSettings};

/// The arguments of `tollgate migrate`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Settings {
    /// The YAML file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Brings the schema of every database that the file names up to date.
///
/// # Errors
/// Why it failed, as a message for the operator.
pub(super) fn run(matches: &ArgMatches, context: &CommandContext<'_, Config>) -> Result<ExitCode, CommandError> {
    let file = Settings::from_arg_matches(matches)?.config;
    let base = file.parent().unwrap_or("".as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut settings: Vec<StoreSettings> = Vec::new();
    for ledger in context.settings(&file)? {
        let wanted = StoreSettings { migrate: Migrate::Auto, ..ledger.store_settings(base) };
        if !settings.iter().any(|known| known.database == wanted.database) {
            settings.push(wanted);
        }
    }
    if settings.is_empty() {
        return Err(CommandError::new(format!("{}: no route has a `usage_log`", file.display())));
    }
    for settings in settings {
        let migrated = runtime.block_on(async {
            let metrics = StoreMetrics::new().map_err(|error| error.to_string())?;
            let mut store = Store::connect(&settings, &metrics).await.map_err(|error| error.to_string())?;
            store.migrate().await.map_err(|error| error.to_string())?;
            store.close().await;
            Ok::<_, String>(())
        });
        migrated.map_err(|error| CommandError::new(format!("{}: {error}", settings.database)))?;
        // a closed standard output does not matter
        let _ = writeln!(std::io::stdout(), "{}: the schema is up to date", settings.database);
    }
    Ok(ExitCode::SUCCESS)
}
