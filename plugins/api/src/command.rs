//! Commands of `tollgate` that a plugin brings, and what they get from the gateway: the plugin's settings in a file.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::PastRoute;

/// A command that a plugin brings. `C` are the plugin's settings.
pub struct Command<C> {
    /// Its name, its arguments and its help.
    pub clap: clap::Command,
    /// Runs it.
    pub run: fn(&ArgMatches, &CommandContext<'_, C>) -> Result<ExitCode, CommandError>,
}

/// What a command gets from the gateway.
pub struct CommandContext<'a, C> {
    load: &'a dyn Fn(&Path) -> Result<Vec<C>, String>,
    routes: &'a dyn Fn(&Path) -> Result<Vec<PastRoute>, String>,
}

impl<'a, C> CommandContext<'a, C> {
    /// A context that loads settings, and routes, by these functions.
    #[must_use]
    pub fn new(
        load: &'a dyn Fn(&Path) -> Result<Vec<C>, String>,
        routes: &'a dyn Fn(&Path) -> Result<Vec<PastRoute>, String>,
    ) -> Self {
        Self { load, routes }
    }

    /// The routes of a YAML file, in their order.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn routes(&self, file: &Path) -> Result<Vec<PastRoute>, CommandError> {
        (self.routes)(file).map_err(CommandError)
    }

    /// The settings that a YAML file has for the plugin, one for each place that names it, in the order of the file.
    /// Relative paths in them start from the file's folder.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn settings(&self, file: &Path) -> Result<Vec<C>, CommandError> {
        (self.load)(file).map_err(CommandError)
    }
}

/// What keeps a command from its answer, in words for whoever gave it.
#[derive(Debug)]
pub struct CommandError(String);

impl CommandError {
    /// An error with this message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
