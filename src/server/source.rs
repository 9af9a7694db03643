//! The source of the configuration: a file, read again at every reload, or a text built into the program.

use std::path::{Path, PathBuf};

use located_yaml::ConfigErrors;

use crate::config::{self, Config};

use super::listeners::ConfigProblem;

/// The source of the configuration.
#[derive(Clone)]
pub enum Source {
    /// A YAML file.
    File(PathBuf),
    /// A built-in text.
    Text {
        /// Its name in errors.
        name: &'static str,
        /// The YAML.
        text: &'static str,
        /// The values of its `${NAME}`.
        variables: Vec<(&'static str, String)>,
    },
}

impl Source {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Every error in it, with its place.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        match self {
            Self::File(path) => config::load(path),
            Self::Text { name, text, variables } => {
                config::parse(name, text, self.base(), &|name| value_of(variables, name))
            }
        }
    }

    /// The folder to which relative paths in it are relative.
    #[must_use]
    pub fn base(&self) -> &Path {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            Self::Text { .. } => Path::new(""),
        }
    }

    /// Errors for problems that showed when the configuration was put to work, with the lines of their places.
    #[must_use]
    pub fn errors(&self, problems: Vec<ConfigProblem>) -> ConfigErrors {
        match self {
            Self::File(path) => config::errors_in_file(path, problems),
            Self::Text { name, text, variables } => {
                config::errors_in_text(name, text, self.base(), &|name| value_of(variables, name), problems)
            }
        }
    }
}

fn value_of(variables: &[(&str, String)], name: &str) -> Option<String> {
    variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}
