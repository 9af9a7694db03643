//! Where the configuration comes from: a file, read again at every reload, or a text that the program carries.

use std::path::{Path, PathBuf};

use located_yaml::ConfigErrors;

use crate::config::{self, Config};

use super::listeners::Fault;

/// The source of the configuration.
pub enum Source {
    /// A YAML file.
    File(PathBuf),
    /// A text under a name, and the variables it may name.
    Text {
        /// What errors call it.
        name: &'static str,
        /// The YAML.
        text: &'static str,
        /// What its `${NAME}` stand for.
        variables: Vec<(&'static str, String)>,
    },
}

impl Source {
    /// Reads and checks it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        match self {
            Self::File(path) => config::load(path),
            Self::Text { name, text, variables } => {
                config::parse(name, text, self.base(), &|name| value_of(variables, name))
            }
        }
    }

    /// The folder that relative paths in it start from.
    #[must_use]
    pub fn base(&self) -> &Path {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            Self::Text { .. } => Path::new(""),
        }
    }

    /// Errors that only showed when it was put to work, with the lines they stand on.
    #[must_use]
    pub fn errors(&self, faults: Vec<Fault>) -> ConfigErrors {
        match self {
            Self::File(path) => config::errors_in_file(path, faults),
            Self::Text { name, text, variables } => {
                config::errors_in_text(name, text, &|name| value_of(variables, name), faults)
            }
        }
    }
}

fn value_of(variables: &[(&str, String)], name: &str) -> Option<String> {
    variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}
