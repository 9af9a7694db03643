//! The gateway's own log on standard error: one line per record of the `log` facade.
//! Requests are logged elsewhere, in [`crate::access_log`].

pub(crate) mod field;
mod line;

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plugin_api::LogLimit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log of the gateway itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// The lowest level that is written. With `debug` and `trace`, libraries log too.
    pub level: LogLevel,
    /// How a record is written.
    pub format: LogFormat,
}

/// The level of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something is broken and needs an operator.
    Error,
    /// Something failed, and the gateway goes on.
    Warn,
    /// Starts, reloads, stops.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A JSON object per line: `time`, `level`, `target`, `message`, then the record's own fields.
    #[default]
    Json,
    /// For people: `TIME LEVEL message key=value`.
    Text,
}

/// Installs the gateway's logger for the process. If there is one already (a second call, or a test), only the settings
/// change.
pub fn init(settings: &LogSettings) {
    // fails only if there is one already
    if log::set_logger(&LOGGER).is_ok() {
        // otherwise panics would be printed between the lines in another form
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("no message");
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            if let Some(suppressed) = PANICS.pass(at.clone()) {
                log::error!(at = at.as_str(), suppressed; "panic: {message}");
            }
        }));
    }
    set(settings);
}

/// Replaces the settings, from the next record on.
pub fn set(settings: &LogSettings) {
    let level = settings.level.filter();
    LOGGER.text.store(settings.format == LogFormat::Text, Ordering::Relaxed);
    LOGGER.libraries.store(level >= LevelFilter::Debug, Ordering::Relaxed);
    log::set_max_level(level);
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::Error,
            Self::Warn => LevelFilter::Warn,
            Self::Info => LevelFilter::Info,
            Self::Debug => LevelFilter::Debug,
            Self::Trace => LevelFilter::Trace,
        }
    }
}

/// The logger of the process. The facade requires one with a static lifetime.
static LOGGER: Logger =
    Logger { text: AtomicBool::new(false), libraries: AtomicBool::new(false), lost: AtomicU64::new(0) };

/// Limits log lines about panics, by source location.
static PANICS: LogLimit<String> = LogLimit::new();
/// Limits log lines about errors of libraries, by source location.
static LIBRARIES: LogLimit<(Option<&str>, Option<u32>)> = LogLimit::new();

struct Logger {
    text: AtomicBool,
    /// Whether libraries may log below `error`.
    libraries: AtomicBool,
    /// Lines lost since the last one that was written.
    lost: AtomicU64,
}

impl Log for Logger {
    fn enabled(&self, record: &Metadata<'_>) -> bool {
        record.level() <= log::max_level()
            && (record.level() == Level::Error
                || self.libraries.load(Ordering::Relaxed)
                || !is_chatty_library(record.target()))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // clients can cause errors in libraries at any rate
        if record.level() == Level::Error && is_chatty_library(record.target()) {
            match LIBRARIES.pass((record.file_static(), record.line())) {
                None => return,
                Some(0) => {}
                Some(suppressed) => {
                    let args = record.args();
                    let counted = format_args!("{args} ({suppressed} such lines suppressed)");
                    return self.write(&record.to_builder().args(counted).build());
                }
            }
        }
        self.write(record);
    }

    fn flush(&self) {}
}

impl Logger {
    fn write(&self, record: &Record<'_>) {
        let write = if self.text.load(Ordering::Relaxed) { line::text } else { line::json };
        let mut line = Vec::with_capacity(256);
        write(&mut line, record, SystemTime::now());
        self.put(&line);
    }

    /// Writes a line with a single call, so that lines of several threads do not mix. If standard error is a pipe that is
    /// full, the line is lost: no request waits for the log. The next line that is written reports the number of lost ones.
    fn put(&self, line: &[u8]) {
        let mut stderr = io::stderr().lock();
        let takes = PollFd::new(stderr.as_fd(), PollFlags::POLLOUT);
        if poll(&mut [takes], PollTimeout::ZERO) == Ok(0) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            // not as a record, which would wait for the lock held here
            let _ = writeln!(
                stderr,
                "{{\"level\":\"warn\",\"message\":\"lines lost because the output did not take them\",\"lines\":{lost}}}"
            );
        }
        // there is no other place to report a failure to
        let _ = stderr.write_all(line);
    }
}

/// Whether a target belongs to a library that warns of everyday events of clients, such as a broken connection.
fn is_chatty_library(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    name.starts_with("pingora") || matches!(name, "h2" | "hyper" | "hyper_util" | "rustls" | "tokio_rustls")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A single test, since the settings belong to the process.
    #[test]
    fn libraries_speak_of_errors_only_until_the_level_asks_for_more() {
        let enabled = |target: &str, level| LOGGER.enabled(&Metadata::builder().target(target).level(level).build());
        init(&LogSettings::default());
        init(&LogSettings::default());
        assert!(enabled("tollgate::server", Level::Info) && enabled("max_tokens", Level::Warn));
        assert!(!enabled("tollgate::server", Level::Debug));
        for library in ["pingora_core::listeners", "pingora_proxy", "h2", "hyper::proto", "rustls::conn"] {
            assert!(enabled(library, Level::Error) && !enabled(library, Level::Warn), "{library}");
        }
        set(&LogSettings { level: LogLevel::Debug, format: LogFormat::Text });
        assert!(enabled("pingora_proxy", Level::Debug) && !enabled("pingora_proxy", Level::Trace));
        assert!(LOGGER.text.load(Ordering::Relaxed));
        set(&LogSettings { level: LogLevel::Error, format: LogFormat::Json });
        assert!(!enabled("tollgate::server", Level::Warn) && enabled("tollgate::server", Level::Error));
        set(&LogSettings::default());
    }

    #[test]
    fn settings_are_strict_and_may_be_left_out() {
        assert_eq!(serde_json::from_str::<LogSettings>("{}").unwrap(), LogSettings::default());
        let settings: LogSettings = serde_json::from_str(r#"{"level":"trace","format":"text"}"#).unwrap();
        assert_eq!(settings, LogSettings { level: LogLevel::Trace, format: LogFormat::Text });
        for wrong in [r#"{"level":"verbose"}"#, r#"{"levels":"info"}"#, r#"{"format":"xml"}"#] {
            assert!(serde_json::from_str::<LogSettings>(wrong).is_err(), "{wrong}");
        }
    }
}
