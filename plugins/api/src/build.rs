//! What a plugin is built from beside its settings, and how it says that it cannot be.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::Common;

/// Where a plugin is built.
#[derive(Debug)]
pub struct BuildContext<'a, S> {
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// What this plugin keeps across reloads.
    pub shared: &'a Arc<S>,
    /// Credentials of the configuration itself, such as the upstreams'. Bytes that a plugin keeps must not hold them.
    pub secrets: &'a Arc<[Box<str>]>,
    /// What all plugins share.
    pub common: &'a Arc<Common>,
}

/// Two entries of one file that are held against each other.
#[derive(Clone, Copy, Debug)]
pub struct CheckContext<'a> {
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// The other entry, in words: "the `usage_log` on line 7".
    pub other: &'a str,
}

/// What is wrong with the settings of a plugin, in words for whoever wrote the file. The gateway adds the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem(Cow<'static, str>);

impl ConfigProblem {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl From<String> for ConfigProblem {
    fn from(message: String) -> Self {
        Self(message.into())
    }
}

impl From<&'static str> for ConfigProblem {
    fn from(message: &'static str) -> Self {
        Self(message.into())
    }
}

impl From<ConfigProblem> for String {
    fn from(problem: ConfigProblem) -> Self {
        problem.0.into_owned()
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigProblem {}
