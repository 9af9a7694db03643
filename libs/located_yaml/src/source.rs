//! The files in which errors are found, as they are shown: with their lines, and without their secrets.

use std::sync::Arc;

use crate::error::{Diagnostic, Line, excerpt};
use crate::located::Location;
use crate::node::Node;
use crate::secrets::Secrets;

/// Files in which errors are found. No error shows a secret of any of them.
pub(crate) struct Source {
    files: Vec<File>,
    secrets: Secrets,
}

struct File {
    name: Arc<str>,
    lines: Vec<String>,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str, plain_keys: &[&str]) -> Self {
        let mut source = Self { files: Vec::new(), secrets: Secrets::none(plain_keys) };
        source.add(name, text);
        source
    }

    /// Adds a file; its number.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> usize {
        let masked = self.secrets.add_text(text);
        // a byte order mark takes no column
        let lines = masked.trim_start_matches('\u{feff}').lines().map(str::to_owned).collect();
        self.files.push(File { name: name.into(), lines });
        self.files.len() - 1
    }

    /// The names of the files, by their numbers.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.files.iter().map(|file| file.name.clone()).collect()
    }

    /// Adds the secrets that show once the files have become a tree.
    pub(crate) fn of_tree(mut self, root: &Node) -> Self {
        self.secrets.learn(root);
        self
    }

    /// Hides the contents of a variable.
    pub(crate) fn hide_variable(&mut self, name: &str, value: &str) {
        self.secrets.add_variable(name, value);
    }

    /// Its secrets, and whatever came from a variable or a file.
    pub(crate) fn into_secrets(mut self, root: &Node) -> Secrets {
        for scalar in root.all().filter_map(Node::scalar) {
            if let Some(written) = &scalar.written {
                self.secrets.add_filled(&scalar.text, written);
            }
        }
        self.secrets
    }

    /// The line of a place, and its file where that is another than the one of `from`: `line 3 of routes/a.yaml`.
    pub(crate) fn line_of(&self, at: Location, from: Location) -> String {
        match self.files.get(at.file).filter(|_| at.file != from.file) {
            Some(file) => format!("line {} of {}", at.line, file.name),
            None => format!("line {}", at.line),
        }
    }

    /// An error at a place. An unknown one counts as the beginning of the first file.
    pub(crate) fn error(&self, at: Location, width: usize, path: String, message: &str) -> Diagnostic {
        let known = at != Location::default();
        let location = if known { at } else { Location::new(1, 1) };
        let file = self.files.get(location.file).or(self.files.first());
        let line = file.and_then(|file| file.lines.get(location.line.checked_sub(1)?)).filter(|_| known);
        let line = line.map_or_else(Line::default, |line| excerpt(line, location.column.saturating_sub(1), width));
        let name = file.map_or_else(|| "".into(), |file| file.name.clone());
        Diagnostic::new(name, location, path, &self.secrets.mask(message), line)
    }
}
