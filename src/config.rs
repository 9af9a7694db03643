//! The YAML file as types. Composes the settings that each part of the gateway owns, and builds nothing from them.

mod check;
mod companions;
mod credentials;
mod fallbacks;
mod include;
mod quotas;
mod reach;
mod routes;
mod schema;
mod sizes;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use located_yaml::{
    ConfigErrors, Diagnostic, Include, Located, Location, ReadFile, Reader, RenamedKey, Report, Secrets,
};
use networks::Network;
use plugin_api::{PastRoute, RouteModels, TelemetrySettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access_log::AccessLogSettings;
use crate::attribution::Attribution;
use crate::balance::UpstreamSettings;
use crate::logging::LogSettings;
use crate::plugins::PluginEntry;
use crate::routes::RouteSettings;
use crate::settings::{AdminSettings, ClientAddress, ListenerSettings, ServerSettings};

pub use schema::schema;
pub use sizes::Sizes;

/// The configuration of a gateway.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Further files, relative to this one; `*` and `?` stand for characters of a name. Their lists are appended to those here, in the
    /// order of the names, and what stands in their sections is added to the sections here. Paths in them are relative to this file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
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
    /// The proxies before this gateway, as networks: what they say of their clients in `X-Forwarded-*`, `Forwarded` and `X-Real-IP` is
    /// believed and gone on with. What others say there is replaced. The client is the last address of the chain that is none of
    /// theirs.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// Where they say a client's address.
    #[serde(default)]
    pub client_address: ClientAddress,
    /// Whose calls they are, by what clients say of themselves.
    #[serde(default)]
    pub attribution: Attribution,
    /// Where the gateway tells of requests besides its own logs and metrics.
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    /// The upstreams of the routes, by name. An upstream is a group of servers that answer alike.
    pub upstreams: IndexMap<String, Located<UpstreamSettings>>,
    /// The plugins of every route: top to bottom on the way in, bottom to top on the way out.
    #[serde(default)]
    pub plugins: Vec<Located<PluginEntry>>,
    /// The routes. The first that matches a request wins.
    pub routes: Vec<Located<RouteSettings>>,
    /// What should be changed in the file. Warnings do not keep the gateway from running.
    #[serde(skip)]
    pub warnings: Vec<Diagnostic>,
    /// What of it must not be shown.
    #[serde(skip)]
    secrets: Secrets,
    /// The names of its files.
    #[serde(skip)]
    files: Vec<Arc<str>>,
}

/// Keys that had another name in the release before. Each new one has the old one as its serde `alias`.
const RENAMED_KEYS: &[RenamedKey] = &[
    RenamedKey { old: "longest", new: "max_time" },
    RenamedKey { old: "on_client_gone", new: "on_client_disconnect" },
    RenamedKey { old: "on_all_gone", new: "on_clients_disconnected" },
];

/// What the `key` of a hash begins with. Any other `key` may be a secret.
const HASH_KEYS: &[&str] = &["session", "header", "body", "cookie", "client_ip"];

/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 4 << 20;
/// The longest file that is read as a value, in bytes.
const LONGEST_VALUE: usize = 64 << 10;

/// Whether certificates that are not valid today are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dates {
    /// Yes.
    Checked,
    /// No: the gateway serves them, so that a restart after the last day is no outage.
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

/// The plugins that a file names, those of its routes included.
///
/// # Errors
/// Everything that is wrong with the file, as text.
pub fn plugin_entries(path: &Path) -> Result<Vec<PluginEntry>, String> {
    let config = load(path).map_err(|errors| errors.to_string())?;
    let of_routes = config.routes.into_iter().flat_map(|route| route.value.plugins);
    Ok(config.plugins.into_iter().chain(of_routes).map(|entry| entry.value).collect())
}

/// The routes of a file, for commands that look at past calls.
///
/// # Errors
/// Everything that is wrong with the file, as text.
pub fn past_routes(path: &Path) -> Result<Vec<PastRoute>, String> {
    let config = load(path).map_err(|errors| errors.to_string())?;
    let route = |route: &Located<RouteSettings>| PastRoute {
        name: route.label(),
        models: RouteModels::new(route.models().iter().map(|entry| entry.rule()).collect()),
        replay: config.plugins_of(route).into_iter().find_map(|entry| entry.replay()),
    };
    Ok(config.routes.iter().map(route).collect())
}

fn load_with(path: &Path, dates: Dates) -> Result<Config, ConfigErrors> {
    let name = path.display().to_string();
    let base = path.parent().unwrap_or(Path::new(""));
    let file = file_below(base);
    let included = include::files_below(base, Some(path));
    let reader = reader(&variable, &file, &included);
    let bytes = read(path).map_err(|error| {
        let fault = (Location::default(), "file".to_owned(), format!("cannot be read: {error}"));
        reader.errors_at(&name, "", vec![fault])
    })?;
    let text = reader.text(&name, &bytes)?;
    read_text(reader, &name, text, base, dates)
}

fn reader<'a>(variable: &'a dyn Fn(&str) -> Option<String>, file: ReadFile<'a>, included: Include<'a>) -> Reader<'a> {
    Reader::new(variable).files(file).include(included).renamed(RENAMED_KEYS).plain_keys(HASH_KEYS)
}

/// The texts of `${file:PATH}`; relative paths start from `base`.
fn file_below(base: &Path) -> impl Fn(&str) -> Result<String, String> {
    |path| {
        let bytes = read_up_to(&base.join(path), LONGEST_VALUE).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
    }
}

/// A variable of the process's environment.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, LONGEST_FILE)
}

fn read_up_to(path: &Path, longest: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(longest as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > longest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {longest} bytes")));
    }
    Ok(bytes)
}

/// Reads a text and checks it. Errors call it by `name`; paths in it, those of `${file:PATH}` included, start from `base`;
/// `variable` has the contents of `${NAME}`.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines. If it is not YAML, the first place where it is not.
pub fn parse(
    name: &str,
    text: &str,
    base: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let file = file_below(base);
    let included = include::files_below(base, None);
    read_text(reader(variable, &file, &included), name, text, base, Dates::Ignored)
}

fn read_text(reader: Reader<'_>, name: &str, text: &str, base: &Path, dates: Dates) -> Result<Config, ConfigErrors> {
    let check = |config: &Config, report: &mut Report<'_>| check::check(config, base, dates, report);
    let document = reader.read(name, text, check)?;
    let (warnings, secrets, files) = (document.warnings, document.secrets, document.files);
    Ok(Config { warnings, secrets, files, ..document.value })
}

/// Errors found while a file was applied, with their lines.
#[must_use]
pub fn errors_in_file(path: &Path, faults: Vec<(Location, String, String)>) -> ConfigErrors {
    // without the lines, the locations are still reported
    let text = read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    errors_in_text(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new("")), &variable, faults)
}

/// Errors found while a text was applied, with their lines. Paths in it start from `base`.
#[must_use]
pub fn errors_in_text(
    name: &str,
    text: &str,
    base: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    faults: Vec<(Location, String, String)>,
) -> ConfigErrors {
    let included = include::files_below(base, None);
    reader(variable, &file_below(base), &included).errors_at(name, text, faults)
}

impl Config {
    /// The plugins of a route, without those that are off: the global ones that it does not name itself, and its own.
    #[must_use]
    pub fn plugins_of<'a>(&'a self, route: &'a RouteSettings) -> Vec<&'a Located<PluginEntry>> {
        let own = |name: &str| route.plugins.iter().any(|entry| entry.name() == name);
        let global = self.plugins.iter().filter(|entry| !own(entry.name()));
        global.chain(&route.plugins).filter(|entry| !entry.is_off()).collect()
    }

    /// A place in its files, as editors read it: `tollgate.yaml:12`.
    #[must_use]
    pub fn place(&self, at: Location) -> String {
        let file = self.files.get(at.file).map_or("", |file| &**file);
        format!("{file}:{}", at.line)
    }

    /// A text without what must not be shown of the files.
    #[must_use]
    pub fn hidden(&self, text: &str) -> String {
        self.secrets.hide(None, text)
    }

    /// What is wrong with the files that plugins name: the place of each entry, the setting, and the reason. Building the plugins finds
    /// the same, and has taken what only one process may have by then.
    #[must_use]
    pub fn plugin_file_faults(&self, base: &Path) -> Vec<(Location, String, String)> {
        let global = self.plugins.iter().map(|entry| ("plugins".to_owned(), entry));
        let of_routes = self.routes.iter().enumerate().flat_map(|(index, route)| {
            route.plugins.iter().map(move |entry| (format!("routes[{index}].plugins"), entry))
        });
        let faults = global.chain(of_routes).filter_map(|(path, entry)| {
            let problem = entry.check_files(base).err()?;
            Some((entry.at, path, problem.into()))
        });
        faults.collect()
    }

    /// All of it with its defaults, as JSON. Secrets, and what came from the environment or from files, are shown as the file writes
    /// them, or as `***`.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut shown = serde_json::to_value(self).unwrap_or_default();
        self.hide(None, &mut shown);
        shown
    }

    fn hide(&self, key: Option<&str>, value: &mut Value) {
        match value {
            // the types that hold secrets write these words themselves
            Value::String(text) if text == "off" || text == "***" => {}
            Value::String(text) => *text = self.secrets.hide(key, text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(key, item)),
            Value::Object(members) => members.iter_mut().for_each(|(key, member)| self.hide(Some(key), member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Logs what should be changed in the file.
    pub fn log_warnings(&self) {
        for warning in &self.warnings {
            log::warn!("{warning}");
        }
    }
}
