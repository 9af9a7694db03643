//! The reader: a text and a type → the value, or everything that is wrong with the text.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{ConfigErrors, Diagnostic};
use crate::include::{self, Include};
use crate::located::Location;
use crate::node::{Id, Mark, Node, Problem};
use crate::parse::{self, NotYaml, Parsed};
use crate::report::Report;
use crate::secrets::{Secrets, variable_names};
use crate::source::Source;
use crate::variables::{self, ReadFile, Sources};
use crate::{names, recover};

/// How texts of one format are read.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    sources: Sources<'a>,
    renamed: &'a [RenamedKey],
    plain_keys: &'a [&'a str],
    include: Option<Include<'a>>,
}

/// A key whose name has changed. The old name is read as long as the field has it as a serde `alias`; every use of it is a
/// warning. It is not offered among the known keys.
///
/// It concerns only the types that know both names, whatever else in a file is called by the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenamedKey {
    /// The former name.
    pub old: &'static str,
    /// The present name.
    pub new: &'static str,
}

/// A text that was read without an error.
#[derive(Debug)]
pub struct Document<T> {
    /// What it says.
    pub value: T,
    /// What should be changed in it, in the order of its lines.
    pub warnings: Vec<Diagnostic>,
    /// What must not be shown of it, once it is written out again.
    pub secrets: Secrets,
    /// The names of its files, by the numbers of [`Location::file`].
    pub files: Vec<Arc<str>>,
}

impl<'a> Reader<'a> {
    /// A reader that asks `variable` for the contents of `${NAME}`.
    #[must_use]
    pub fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { sources: Sources { variable, file: None }, renamed: &[], plain_keys: &[], include: None }
    }

    /// Asks `file` for the text of `${file:PATH}`, or why there is none. Without it, nothing reads a file.
    #[must_use]
    pub fn files(self, file: ReadFile<'a>) -> Self {
        Self { sources: Sources { file: Some(file), ..self.sources }, ..self }
    }

    /// Reads the files that the list `include` at the top level names, too: their lists are appended, and their mappings are merged.
    #[must_use]
    pub fn include(self, include: Include<'a>) -> Self {
        Self { include: Some(include), ..self }
    }

    /// Accepts old names of keys, with a warning.
    #[must_use]
    pub fn renamed(self, renamed: &'a [RenamedKey]) -> Self {
        Self { renamed, ..self }
    }

    /// Shows values of keys called `key` in messages if they begin with one of these words. All others are taken for secrets.
    #[must_use]
    pub fn plain_keys(self, plain_keys: &'a [&'a str]) -> Self {
        Self { plain_keys, ..self }
    }

    /// The text of a file's bytes.
    ///
    /// # Errors
    /// The first place that is not UTF-8.
    pub fn text<'b>(&self, name: &str, bytes: &'b [u8]) -> Result<&'b str, ConfigErrors> {
        std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = valid.matches('\n').count() + 1;
            let column = valid.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            let fault = (Location::new(line, column), "file".to_owned(), "this is not UTF-8 text".to_owned());
            self.errors_at(name, &String::from_utf8_lossy(bytes), vec![fault])
        })
    }

    /// Reads a text. Errors call it by `name`. `check` looks for what only shows when the parts are held against each other; it
    /// also runs after errors, on a value that lacks what they concern.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its lines. If it is not YAML, the first place where it is not.
    pub fn read<T: DeserializeOwned>(
        &self,
        name: &str,
        text: &str,
        check: impl FnOnce(&T, &mut Report<'_>),
    ) -> Result<Document<T>, ConfigErrors> {
        let mut source = Source::new(name, text, self.plain_keys);
        let (parsed, unset) = match self.tree(text, &mut source) {
            Ok(tree) => tree,
            Err(NotYaml::Empty) => {
                let required = recover::required_keys::<T>();
                let wanted = match required.as_slice() {
                    [] => String::new(),
                    [only] => format!(", wanted `{only}`"),
                    [others @ .., last] => format!(", wanted {} and `{last}`", names::list(others)),
                };
                let message = format!("there is nothing in the file{wanted}");
                return Err(not_yaml(&source, Mark { at: Location::new(1, 1), width: 1 }, &message));
            }
            Err(NotYaml::At(mark, message)) => return Err(not_yaml(&source, mark, &message)),
        };
        let mut report = Report::new(source, &parsed.root);
        for problem in parsed.problems.into_iter().chain(unset) {
            report.add(problem);
        }
        let value = recover::decode(&mut report, parsed.unreadable, self.renamed);
        if let Some(value) = &value {
            check(value, &mut report);
        }
        report.finish(value)
    }

    /// The tree of a text and of what it includes, with variables filled in, and what is wrong with those.
    fn tree(&self, text: &str, source: &mut Source) -> Result<(Parsed, Vec<Problem>), NotYaml> {
        let mut parsed = parse::parse(text, 0, 0)?;
        let mut unset = Vec::new();
        variables::fill(&mut parsed.root, self.sources, &mut unset);
        if let Some(include) = self.include {
            include::merge(&mut parsed, &mut unset, include, self.sources, source)?;
        }
        parsed.unreadable.extend(unset.iter().map(|problem| problem.node));
        Ok((parsed, unset))
    }

    /// Errors found outside of the text, when its value was put to work: their places in it, the settings they are about, and
    /// what is wrong. Contents of variables do not show.
    #[must_use]
    pub fn errors_at(&self, name: &str, text: &str, faults: Vec<(Location, String, String)>) -> ConfigErrors {
        let mut source = Source::new(name, text, self.plain_keys);
        // for the lines of the files that it includes; without them, the places are still reported
        let root = self.tree(text, &mut source).map(|(parsed, _)| parsed.root).ok();
        let written = root.iter().flat_map(Node::all).filter_map(|node| node.scalar()?.written.as_deref());
        for name in variable_names(text).chain(written.flat_map(variable_names)) {
            let value = match (name.strip_prefix("file:"), self.sources.file) {
                (Some(path), Some(file)) => file(path).ok(),
                _ => (self.sources.variable)(name),
            };
            if let Some(value) = value {
                source.hide_variable(name, &value);
            }
        }
        let errors = faults.into_iter().map(|(at, path, message)| source.error(at, 1, path, &message));
        ConfigErrors::new(errors.collect(), false)
    }
}

fn not_yaml(source: &Source, mark: Mark, message: &str) -> ConfigErrors {
    ConfigErrors::new(vec![source.error(mark.at, mark.width, "yaml".into(), message)], false)
}

/// Uses of old names: the value whose key has one.
#[derive(Debug, Default)]
pub(crate) struct OldNames(Vec<(Id, RenamedKey)>);

impl OldNames {
    /// Notes a use; each once, however often the tree is read.
    pub(crate) fn note(&mut self, value: Id, renamed: RenamedKey) {
        if !self.0.contains(&(value, renamed)) {
            self.0.push((value, renamed));
        }
    }

    /// Adds a warning for each use that is still part of what was read.
    pub(crate) fn warn(self, root: &Node, report: &mut Report<'_>) {
        for (value, RenamedKey { old, new }) in self.0 {
            if let Some((holder, key)) = root.holder_of(value) {
                let message =
                    format!("`{old}` is now called `{new}`; the old name will not be read by the next release");
                report.warn(holder, key.mark, message);
            }
        }
    }
}

impl RenamedKey {
    /// Whether a type with these fields has this key.
    pub(crate) fn is_of(&self, fields: &[&str]) -> bool {
        fields.contains(&self.old) && fields.contains(&self.new)
    }
}

#[cfg(test)]
mod tests;
