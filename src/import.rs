//! Makes a configuration out of that of another gateway: `tollgate import nginx FILE…`, `tollgate import litellm FILE`. Carries over what
//! has a counterpart here, and names the rest; never repeats a secret.

mod comments;
mod left_out;
mod litellm;
mod nginx;
mod secrets;
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
    /// Make a configuration of nginx's files. Exits with 2 where something was left out.
    Nginx(ImportFiles),
    /// Make a configuration of a `LiteLLM` proxy's config.yaml. Exits with 2 where something was left out.
    Litellm(ImportFile),
}

/// The files of nginx.
#[derive(Args)]
pub struct ImportFiles {
    /// The main file, such as nginx.conf, or files of one `http` block, such as those of conf.d. What they include is read too,
    /// relative to the folder of the first.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
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
    let (Imported { yaml, left_out }, prefix) = match what {
        // each line has its file itself
        Import::Nginx(ImportFiles { files }) => (nginx::import(files)?, String::new()),
        Import::Litellm(ImportFile { file }) => {
            let name = file.display().to_string();
            let text = fs::read_to_string(file).map_err(|error| format!("{name}: cannot be read: {error}"))?;
            (litellm::import(&name, &text)?, format!("{name}: left out: "))
        }
    };
    let written = io::stdout().write_all(yaml.as_bytes()).and_then(|()| io::stdout().flush());
    written.map_err(|error| format!("standard output: {error}"))?;
    let mut stderr = io::stderr().lock();
    for line in &left_out {
        // a closed standard error does not matter
        let _ = writeln!(stderr, "{prefix}{line}");
    }
    Ok(if left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}
