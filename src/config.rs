//! What the YAML file says, as types. Composes the settings that each part of the gateway owns; makes nothing of them.

mod check;
mod decode;
mod environment;
mod error;
mod fallbacks;
mod fault;
mod missing;
mod node;
mod recover;
mod report;
mod schema;
mod secrets;
mod yaml;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access_log::AccessLogSettings;
use crate::balance::UpstreamSettings;
use crate::located::{Located, Location};
use crate::logging::LogSettings;
use crate::plugins::PluginEntry;
use crate::routes::RouteSettings;
use crate::settings::{AdminSettings, ListenerSettings, ServerSettings};

use report::Report;

pub use error::{ConfigError, ConfigErrors};
pub use schema::schema;

/// The configuration of a gateway.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The process as a whole: its threads, limits and deadlines.
    #[serde(default)]
    pub server: ServerSettings,
    /// The log of what the gateway itself does, on standard error.
    #[serde(default)]
    pub log: LogSettings,
    /// The log of requests, one line each.
    #[serde(default)]
    pub access_log: AccessLogSettings,
    /// Where clients connect.
    pub listeners: Vec<Located<ListenerSettings>>,
    /// The operator's own listener: health, metrics, reload. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminSettings>,
    /// The groups of servers that routes lead to, by name.
    pub upstreams: IndexMap<String, Located<UpstreamSettings>>,
    /// The plugins of every route: top to bottom on the way in, bottom to top on the way out.
    #[serde(default)]
    pub plugins: Vec<Located<PluginEntry>>,
    /// Which requests go where. The first that matches wins.
    pub routes: Vec<Located<RouteSettings>>,
}

/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 4 << 20;

/// Whether certificates that are not valid today are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dates {
    /// They are.
    Checked,
    /// They are not: the gateway serves them nevertheless, so that a restart after the last day is no outage.
    Ignored,
}

/// Reads a file in order to run it, with the variables of the process and the files that it names.
///
/// # Errors
/// Everything that keeps it from running, in the order of its lines.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    load_with(path, Dates::Ignored)
}

/// Reads a file and checks it as [`load`] does; certificates that are not valid today are errors, too.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines.
pub fn check(path: &Path) -> Result<Config, ConfigErrors> {
    load_with(path, Dates::Checked)
}

fn load_with(path: &Path, dates: Dates) -> Result<Config, ConfigErrors> {
    let name = path.display().to_string();
    let unreadable = |text: &str, at: Location, message: String| {
        ConfigErrors::of(&name, text, &environment, vec![(at, "file".into(), message)])
    };
    let bytes = read(path).map_err(|error| unreadable("", Location::default(), format!("cannot be read: {error}")))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = valid.matches('\n').count() + 1;
        let column = valid.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        unreadable(&String::from_utf8_lossy(&bytes), Location { line, column }, "this is not UTF-8 text".into())
    })?;
    parse_with(&name, text, path.parent().unwrap_or(Path::new("")), &environment, dates)
}

/// A variable of the process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Errors that showed when a file was put to work, with the lines they stand on.
#[must_use]
pub fn errors_in(path: &Path, faults: Vec<(Location, String, String)>) -> ConfigErrors {
    // the lines are a help; without them the places still stand
    let text = read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    ConfigErrors::of(&path.display().to_string(), &text, &environment, faults)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {LONGEST_FILE} bytes")));
    }
    Ok(bytes)
}

/// Reads a text and checks it. Errors call it by `name`; paths in it start from `base`; `variable` knows what its
/// `${NAME}` stand for.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines. Where it is not YAML, the first place where it is not.
pub fn parse(
    name: &str,
    text: &str,
    base: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    parse_with(name, text, base, variable, Dates::Ignored)
}

fn parse_with(
    name: &str,
    text: &str,
    base: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    dates: Dates,
) -> Result<Config, ConfigErrors> {
    let source = error::Source::new(name, text);
    let mut read = yaml::read(text).map_err(|(mark, message)| {
        ConfigErrors::new(vec![source.error(mark.at, mark.width, "yaml".into(), &message)], false)
    })?;
    let mut unset = Vec::new();
    environment::fill(&mut read.root, variable, &mut unset);
    read.unknown.extend(unset.iter().map(|problem| problem.node));
    let mut report = Report::new(source, &read.root);
    for problem in read.problems.into_iter().chain(unset) {
        report.add(problem);
    }
    let config = recover::decode(&mut report, read.unknown);
    if let Some(config) = &config {
        check::check(config, base, dates, &mut report);
    }
    match config {
        Some(config) if report.is_empty() => Ok(config),
        _ => Err(report.finish()),
    }
}
