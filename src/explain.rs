//! `tollgate explain`: what a request would get, and why. Takes the way of a real request by the same code, opens no socket and no
//! database, and writes nothing but its answer.

mod body;
mod chunked;
mod input;
mod redact;
mod report;
mod sections;
mod text;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use http::{HeaderName, HeaderValue, Method};

use crate::access_log::AccessLogPath;
use crate::chain::ExplanationLog;
use crate::config::{self, Config};
use crate::engine::{self, PersistentState, Snapshot, Unexplained};
use crate::metrics::Metrics;
use crate::plugins::PluginShared;

use input::Input;
use report::Report;

/// The arguments of `tollgate explain`. The request comes on standard input.
#[derive(Args)]
pub struct ExplainSettings {
    /// The YAML file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The method. Without it that of the request; of a JSON body POST.
    #[arg(long)]
    method: Option<Method>,
    /// The path, with the query. Without it that of the request; of a JSON body that of the API whose calls look so.
    #[arg(long, value_parser = input::path)]
    path: Option<String>,
    /// The host. Without it that of the request, or `localhost`.
    #[arg(long, value_parser = input::header_value)]
    host: Option<HeaderValue>,
    /// A header, `NAME:VALUE`, in the place of those of its name; several with one `--header` each.
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = input::header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The address that it comes from.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    client_ip: IpAddr,
    /// The listener that it comes to, as the YAML writes it. Without it the first.
    #[arg(long, value_name = "ADDRESS")]
    listener: Option<std::net::SocketAddr>,
}

/// Explains the request on standard input.
///
/// # Errors
/// Everything that is wrong with the file, or that there is no whole request.
pub fn run(settings: &ExplainSettings) -> Result<ExitCode, String> {
    let config = config::load(&settings.config).map_err(|errors| errors.to_string())?;
    let most = config.server.max_body.get().saturating_add(config.server.max_header.get() as u64).saturating_add(1);
    let mut bytes = Vec::new();
    io::stdin().take(most).read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
    let report = explain(&config, base_of(&settings.config), settings, &bytes)?;
    let text = if settings.json { report.json() } else { report.to_string() };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map(|()| ExitCode::SUCCESS).map_err(|error| format!("standard output: {error}"))
}

fn base_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Explains a request.
fn explain(config: &Config, base: &Path, settings: &ExplainSettings, bytes: &[u8]) -> Result<Report, String> {
    let input = Input::read(config, settings, bytes)?;
    let log = Arc::<ExplanationLog>::default();
    let persistent = PersistentState { plugins: PluginShared::to_explain(log.clone()), ..PersistentState::default() };
    // not even the access log is opened
    let mut quiet = config.clone();
    quiet.access_log.path = AccessLogPath::Off;
    let snapshot = Snapshot::build(&quiet, base, &persistent, &Arc::new(Metrics::new()))
        .map_err(|(at, path, message)| format!("{}: {path}: {message}", config.place(at)))?;
    snapshot.sizes.apply();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let asked = input.asked();
    let prepared = runtime.block_on(engine::explain(Arc::new(snapshot), input.request)).map_err(|why| match why {
        Unexplained::NoRequest(error) => format!("standard input is no request that can be read: {error}"),
        Unexplained::Unfinished => {
            "the request does not come to its end: its body is shorter than its head says".into()
        }
    })?;
    Report::of(config, asked, &prepared, &log.plugins())
}

#[cfg(test)]
mod tests;
