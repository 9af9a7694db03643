//! Collects errors and warnings of a file while it is read. How a message is worded is for those who add it.

use crate::error::{ConfigErrors, Diagnostic};
use crate::located::Location;
use crate::node::{Mark, Node, Problem};
use crate::reader::Document;
use crate::source::Source;
use crate::variables;

/// Errors beyond this many are not reported.
const MAX_ERRORS: usize = 100;

/// The errors and warnings found so far in a file.
pub struct Report<'a> {
    source: Source,
    root: &'a Node,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(source: Source, root: &'a Node) -> Self {
        Self { source: source.of_tree(root), root, errors: Vec::new(), warnings: Vec::new() }
    }

    /// The file as a tree.
    #[must_use]
    pub fn root(&self) -> &'a Node {
        self.root
    }

    /// Adds an error.
    pub fn add(&mut self, problem: Problem) {
        let error = self.diagnostic(problem);
        // an alias repeats a value together with its errors
        let is_reported = self.errors.iter().any(|other| other.is_same_as(&error));
        if !self.is_full() && !is_reported {
            self.errors.push(error);
        }
    }

    /// Adds an error at a value.
    pub fn add_at(&mut self, node: &Node, message: String) {
        self.add(Problem { node: node.id, mark: node.mark, message });
    }

    /// Adds a warning at a mark within a value, such as one of its keys. Warnings do not keep a file from being used.
    pub fn warn(&mut self, node: &Node, mark: Mark, message: String) {
        let warning = self.diagnostic(Problem { node: node.id, mark, message });
        if self.warnings.len() < MAX_ERRORS && !self.warnings.iter().any(|other| other.is_same_as(&warning)) {
            self.warnings.push(warning);
        }
    }

    /// Adds that a mapping lacks a key.
    pub(crate) fn add_missing(&mut self, holder: &Node, key: &str) {
        let mark = Mark { at: holder.mark.at, width: 1 };
        self.add(Problem { node: holder.id, mark, message: format!("`{key}` is missing; it has no default") });
    }

    fn diagnostic(&self, problem: Problem) -> Diagnostic {
        let path = self.root.path_to(&|node| node.id == problem.node).unwrap_or_default();
        self.source.error(problem.mark.at, problem.mark.width, path, &problem.message)
    }

    /// The line of a place, for a message about the one of `from`: `line 3`, or `line 3 of FILE` where that is in another file.
    #[must_use]
    pub fn line_of(&self, at: Location, from: Location) -> String {
        self.source.line_of(at, from)
    }

    /// The value at a place; none for the placeholder of a missing value.
    #[must_use]
    pub fn node_at(&self, at: Location) -> Option<&'a Node> {
        self.root.all().find(|node| node.mark.at == at)
    }

    /// Whether an error has been found in this value or in what it holds.
    #[must_use]
    pub fn is_wrong(&self, node: &Node) -> bool {
        let path = self.root.path_to(&|other| other.id == node.id).unwrap_or_default();
        let within = |error: &Diagnostic| {
            error.path.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.errors.iter().any(within)
    }

    /// Whether the limit of errors is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    /// The value with the warnings, or the errors.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<Document<T>, ConfigErrors> {
        let more = self.is_full();
        match value {
            Some(value) if self.errors.is_empty() => {
                self.warnings.sort_by_key(|warning| warning.location);
                let files = self.source.names();
                let secrets = self.source.into_secrets(self.root);
                Ok(Document { value, warnings: self.warnings, secrets, files })
            }
            _ => Err(ConfigErrors::new(self.errors, more)),
        }
    }
}

/// A message about a value and what it holds, with the contents of variables replaced by what the file says.
#[must_use]
pub fn redact(message: String, node: &Node) -> String {
    node.all().filter_map(Node::scalar).fold(message, |message, scalar| match &scalar.written {
        Some(written) => variables::redact(&message, &scalar.text, written),
        None => message,
    })
}
