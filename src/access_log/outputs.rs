//! The outputs of all access logs: one of each, whichever configuration writes to it, so that a rotation reaches them all.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::append;
use super::sink::{Output, Sink};

/// The outputs in use.
#[derive(Debug, Default)]
pub struct AccessLogs(Mutex<Vec<(Target, Weak<Sink>)>>);

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    Stderr,
    File(PathBuf),
}

impl AccessLogs {
    /// Opens each file by its name, which is another file after a rotation.
    ///
    /// # Errors
    /// A file cannot be opened; the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        let outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reopen = |(target, sink): &(Target, Weak<Sink>)| match (target, sink.upgrade()) {
            (Target::File(path), Some(sink)) => append(path).map(|output| sink.change(output)),
            _ => Ok(()),
        };
        // one that cannot be opened keeps no other from being
        outputs.iter().map(reopen).fold(Ok(()), Result::and)
    }

    /// The output for this target: the one in use, with its file opened anew, or a new one.
    pub(super) fn sink(&self, target: Target, lost: Arc<AtomicU64>) -> io::Result<Arc<Sink>> {
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.retain(|(_, sink)| sink.strong_count() > 0);
        let output = match &target {
            Target::Stdout => Output::Stdout,
            Target::Stderr => Output::Stderr,
            Target::File(path) => append(path)?,
        };
        let known = outputs.iter().find(|(known, _)| *known == target).and_then(|(_, sink)| sink.upgrade());
        if let Some(sink) = known {
            sink.change(output);
            return Ok(sink);
        }
        let sink = Arc::new(Sink::start(output, lost)?);
        outputs.push((target, Arc::downgrade(&sink)));
        Ok(sink)
    }
}
