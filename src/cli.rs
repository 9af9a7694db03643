//! Arguments become a command, and its end an exit code.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::explain::{self, ExplainSettings};
use crate::import::{self, Import};
use crate::plugins::{FileReader, Kind};
use crate::server::{self, Source, Started};
use crate::{config, demo, plugins, simulate};

/// An LLM edge gateway: nginx's place in front of LLM upstreams, and it understands the call.
#[derive(Parser)]
#[command(name = "tollgate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway that a YAML file describes.
    Run(ConfigFile),
    /// Check a YAML file and report every error in it.
    Check(ConfigFile),
    /// Say what a request on standard input would get, and why: its route, plugins, limits, model and upstream.
    ///
    /// The request is HTTP/1.1 as text, or the JSON of a call alone. Nothing is sent, counted or written.
    Explain(ExplainSettings),
    /// Print the JSON Schema of the YAML file, for editors.
    Schema,
    /// Run a gateway before three simulated upstreams.
    Demo(demo::DemoSettings),
    /// Run a simulated upstream that answers as Anthropic and OpenAI do.
    Simulate(simulate::Settings),
    /// Make a configuration of another gateway's.
    #[command(subcommand)]
    Import(Import),
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The YAML file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command that the arguments name; the first argument is the program's name. The `own` plugins are added to those of every
/// build.
///
/// ```no_run
/// # mod my_crate {
/// #     pub type MyPlugin = usage_log::UsageLog;
/// # }
/// fn main() -> std::process::ExitCode {
///     tollgate::cli::run(std::env::args_os(), tollgate::plugins![my_crate::MyPlugin])
/// }
/// ```
pub fn run(arguments: impl IntoIterator<Item = OsString>, own: &[&'static dyn Kind]) -> ExitCode {
    plugins::add(own);
    let of_plugins = plugins::commands();
    let all = of_plugins.iter().fold(Arguments::command(), |all, command| all.subcommand(command.clap.clone()));
    let matches = all.get_matches_from(arguments);
    if let Some((name, matches)) = matches.subcommand()
        && let Some(command) = of_plugins.iter().find(|command| command.clap.get_name() == name)
    {
        let read = FileReader { entries: &config::plugin_entries, routes: &config::past_routes };
        return ended(command.run(matches, &read));
    }
    match Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command {
        Command::Run(file) => ended(server::run(Source::File(file.config), announce)),
        Command::Check(file) => match config::check(&file.config) {
            Ok(config) => {
                for warning in &config.warnings {
                    warn(&warning.with_line());
                }
                say(format_args!("{}: ok", file.config.display()));
                say(format_args!("memory: {}", config::Sizes::of(&config)));
                ExitCode::SUCCESS
            }
            Err(errors) => failed(&errors),
        },
        Command::Explain(settings) => ended(explain::run(&settings)),
        Command::Schema => {
            say(format_args!("{:#}", config::schema()));
            ExitCode::SUCCESS
        }
        Command::Demo(settings) => ended(demo::run(&settings)),
        Command::Import(what) => ended(import::run(&what)),
        Command::Simulate(settings) => ended(simulate::run(settings).map(|()| ExitCode::SUCCESS)),
    }
}

/// One line per listener, once it accepts; the admin listener's comes last.
fn announce(started: &Started) {
    for address in &started.listeners {
        say(format_args!("listening on {address}"));
    }
    if let Some(address) = started.admin {
        say(format_args!("admin listening on {address}"));
    }
}

/// Writes a line to standard output. A closed one does not matter.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn ended<E: std::fmt::Display>(run: Result<ExitCode, E>) -> ExitCode {
    run.unwrap_or_else(|error| failed(&error))
}

#[expect(clippy::print_stderr, reason = "there is no log")]
fn warn(warning: &impl std::fmt::Display) {
    eprintln!("warning: {warning}");
}

#[expect(clippy::print_stderr, reason = "the result of a command, before or after the log")]
fn failed(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
