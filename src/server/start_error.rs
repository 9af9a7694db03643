//! Errors that prevent the gateway from starting.

use std::fmt;
use std::io;

use located_yaml::ConfigErrors;

/// An error that prevents the gateway from starting.
#[derive(Debug)]
pub enum StartError {
    /// Errors in the configuration.
    Config(ConfigErrors),
    /// An error of the system.
    System(io::Error),
}

impl StartError {
    /// The error in one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        match self {
            Self::Config(errors) => errors.one_line().to_string(),
            Self::System(error) => error.to_string(),
        }
    }
}

impl From<ConfigErrors> for StartError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::System(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
