//! Makes a configuration out of that of another gateway: `tollgate import litellm FILE`. Carries over what has a counterpart here, and
//! names the rest; never repeats a secret.

mod left_out;
mod litellm;
mod section;
mod yaml;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use left_out::LeftOut;

/// The exit code where something of the file was left out.
const INCOMPLETE: u8 = 2;

/// What is imported.
#[derive(Subcommand)]
pub enum Import {
    /// Make a configuration of a `LiteLLM` proxy's config.yaml. Exits with 2 where something was left out.
    Litellm(ImportFile),
}

/// The file of another gateway.
#[derive(Args)]
pub struct ImportFile {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A configuration, and what it lacks of the file that it was made of.
#[derive(Debug)]
pub struct Imported {
    /// The YAML, with what was left out as comments.
    pub yaml: String,
    /// What was left out, a line each.
    pub left_out: Vec<String>,
}

/// Prints the configuration on standard output, and what was left out on standard error too.
///
/// # Errors
/// That the file cannot be read, or has no model that can be served.
pub fn run(what: &Import) -> Result<ExitCode, String> {
    let Import::Litellm(ImportFile { file }) = what;
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let Imported { yaml, left_out } = litellm::import(&name, &text)?;
    let written = io::stdout().write_all(yaml.as_bytes()).and_then(|()| io::stdout().flush());
    written.map_err(|error| format!("standard output: {error}"))?;
    let mut stderr = io::stderr().lock();
    for line in &left_out {
        // a closed standard error does not matter
        let _ = writeln!(stderr, "{name}: left out: {line}");
    }
    Ok(if left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}
