//! A gateway with plugins of one's own beside those of every build: what `tollgate` does, it does with them.
//! `cargo run --example gateway -- run -c my.yaml`

use std::process::ExitCode;

use tollgate::plugins::Kind;

/// The plugins that this gateway has and `tollgate` has not.
pub const PLUGINS: &[&dyn Kind] =
    tollgate::plugins![require_team::RequireTeam, mask_words::MaskWords, inject_faults::InjectFaults];

fn main() -> ExitCode {
    tollgate::cli::run(std::env::args_os(), PLUGINS)
}
