//! The access log: a request puts its line into a buffer, and a separate thread writes it.

mod captured;
mod format;
mod line;
mod local_time;
mod outputs;
mod settings;
mod sink;
mod text;
mod variable;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use log::warn;
use plugin_api::Variables;

use outputs::Target;
use sink::{Output, Sink};

pub use captured::Captured;
pub use format::{AccessLogFormat, TextFormat};
pub use outputs::AccessLogs;
pub use settings::{AccessLogPath, AccessLogSettings};
pub use variable::Entry;

/// The access log of a configuration. The last that writes to an output writes the buffered lines when it is dropped, and waits at most two
/// seconds.
#[derive(Debug)]
pub struct AccessLog {
    open: Option<Open>,
    /// Whether all answers are to be read, as `usage` says.
    usage: bool,
}

#[derive(Debug)]
struct Open {
    sink: Arc<Sink>,
    format: AccessLogFormat,
    /// Whether the format names what an answer has.
    shows_answer: bool,
    /// Whether the format names what a request's head has, or a response's.
    captures: (bool, bool),
}

impl AccessLog {
    /// Opens the log. Paths are relative to `base`. An output that another log of `logs` writes to is the same, and a file is opened anew.
    /// Lost lines are counted in `lost`, which may outlive the log.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the thread cannot be started.
    pub fn open(
        settings: &AccessLogSettings,
        base: &Path,
        logs: &AccessLogs,
        lost: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let format = settings.format.clone();
        let variables = || match &format {
            AccessLogFormat::Json => None,
            AccessLogFormat::Text(format) => Some(format.variables()),
        };
        let shows_answer = variables().into_iter().flatten().any(variable::LogVariable::is_of_answer);
        let target = match &settings.path {
            AccessLogPath::Off => return Ok(Self { open: None, usage: settings.usage }),
            AccessLogPath::Stdout => Target::Stdout,
            AccessLogPath::Stderr => Target::Stderr,
            AccessLogPath::File(path) => Target::File(base.join(path)),
        };
        let captures = match &format {
            AccessLogFormat::Json => (false, false),
            AccessLogFormat::Text(format) => captured::captures(format),
        };
        let open = Open { sink: logs.sink(target, lost)?, format, shows_answer, captures };
        Ok(Self { open: Some(open), usage: settings.usage })
    }

    /// Copies what the format names of the head of a request; nothing where it names nothing.
    #[must_use]
    pub fn capture(&self, request: &Variables<'_>) -> Option<Box<Captured>> {
        let Some(Open { format: AccessLogFormat::Text(format), .. }) = &self.open else { return None };
        Some(Box::new(Captured::of_request(format, request)))
    }

    /// Whether there is something to [capture](Self::capture).
    #[must_use]
    pub fn captures(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.captures.0)
    }

    /// Adds what the format names of the head of a response.
    pub fn capture_response(&self, captured: &mut Captured, response: &Variables<'_>) {
        if let Some(Open { format: AccessLogFormat::Text(format), captures: (_, true), .. }) = &self.open {
            captured.add_response(format, response);
        }
    }

    /// Logs a request without waiting for the output. If that is too slow, the line is lost and counted.
    pub fn record(&self, entry: Entry<'_>) {
        let Some(Open { sink, format, .. }) = &self.open else { return };
        sink.line(|out| match format {
            AccessLogFormat::Json => line::json(out, entry.record),
            AccessLogFormat::Text(format) => text::write(out, format, entry),
        });
    }

    /// Whether anything is logged at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the answers of a route are read for its lines, where it has any, or for the metrics.
    #[must_use]
    pub fn reads_answers(&self, route_is_logged: bool) -> bool {
        self.usage || route_is_logged && self.open.as_ref().is_some_and(|open| open.shows_answer)
    }

    /// The number of lost lines: the output failed, or was too slow for too long.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.sink.lost())
    }
}

fn append(path: &Path) -> io::Result<Output> {
    let mut options = private_files::options();
    if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        // opened for writing only, a pipe would wait for a reader
        options.read(true).write(true);
    } else {
        options.append(true).create(true);
    }
    let file = options.open(path);
    let file =
        file.map_err(|error| io::Error::new(error.kind(), format!("cannot open {}: {error}", path.display())))?;
    if private_files::is_open_to_all(path) {
        warn!(file:% = path.display(); "everybody on this machine may read the access log; take that away (chmod o-r)");
    }
    Ok(Output::File(file))
}

#[cfg(test)]
mod tests;
