//! The commands that the ledger brings: `tollgate usage` and `tollgate migrate`.

mod migrate;
mod usage;

use clap::Args;
use plugin_api::Command;

use crate::Config;

/// All of them.
pub(crate) fn all() -> Vec<Command<Config>> {
    let usage = usage::Settings::augment_args(clap::Command::new("usage"));
    let migrate = migrate::Settings::augment_args(clap::Command::new("migrate"));
    vec![
        Command { clap: usage.about("Sum up the ledger: who spent what"), run: usage::run },
        Command { clap: migrate.about("Bring the schema of the ledger's database up to date"), run: migrate::run },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sound_and_explain_themselves() {
        for command in all() {
            assert!(command.clap.get_about().is_some(), "{}", command.clap.get_name());
            command.clap.debug_assert();
        }
    }
}
