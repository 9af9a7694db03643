//! Collects what is wrong with a file while it is read, and knows how to say it.

use super::environment::redact;
use super::error::{ConfigError, ConfigErrors, Source};
use super::node::{Mark, Node, Problem};
use crate::located::Location;

/// Errors beyond this many are not told.
const MOST_ERRORS: usize = 100;

/// The errors found so far in a file.
pub(super) struct Report<'a> {
    source: Source,
    root: &'a Node,
    errors: Vec<ConfigError>,
}

impl<'a> Report<'a> {
    pub(super) fn new(source: Source, root: &'a Node) -> Self {
        Self { source: source.of_tree(root), root, errors: Vec::new() }
    }

    /// The file as a tree.
    pub(super) fn root(&self) -> &'a Node {
        self.root
    }

    /// Adds an error at a mark of a value's own, such as one of its keys.
    pub(super) fn add(&mut self, problem: Problem) {
        let path = self.root.path_to(&|node| node.id == problem.node).unwrap_or_default();
        self.push(problem.mark, path, &problem.message);
    }

    /// Adds an error at a value.
    pub(super) fn add_at(&mut self, node: &Node, message: String) {
        self.add(Problem { node: node.id, mark: node.mark, message });
    }

    /// Adds that a mapping lacks a key.
    pub(super) fn add_missing(&mut self, holder: &Node, key: &str) {
        let mark = Mark { at: holder.mark.at, width: 1 };
        self.add(Problem { node: holder.id, mark, message: format!("`{key}` is missing; it has no default") });
    }

    fn push(&mut self, mark: Mark, path: String, message: &str) {
        let error = self.source.error(mark.at, mark.width, path, message);
        // what an alias repeats is wrong once
        let is_told = |other: &ConfigError| other.location == error.location && other.message == error.message;
        if !self.is_full() && !self.errors.iter().any(is_told) {
            self.errors.push(error);
        }
    }

    /// The value that stands at a place; none for one that stands in for a missing value.
    pub(super) fn node_at(&self, at: Location) -> Option<&'a Node> {
        self.root.all().find(|node| node.mark.at == at)
    }

    /// Whether an error has been found in this value or what it holds.
    pub(super) fn is_wrong(&self, node: &Node) -> bool {
        let path = self.root.path_to(&|other| other.id == node.id).unwrap_or_default();
        let within = |error: &ConfigError| {
            error.path.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.errors.iter().any(within)
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Whether there are as many errors as anyone wants to read.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= MOST_ERRORS
    }

    /// The errors.
    pub(super) fn finish(self) -> ConfigErrors {
        let more = self.is_full();
        ConfigErrors::new(self.errors, more)
    }
}

/// What a value says, for a message: as the file writes it, shortened if it is long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// A message about a value and what it holds, with what variables brought in taken out again.
pub(super) fn discreet(message: String, node: &Node) -> String {
    node.all().filter_map(Node::scalar).fold(message, |message, scalar| match &scalar.written {
        Some(written) => redact(&message, &scalar.text, written),
        None => message,
    })
}

/// That a name is unknown, with the one that may have been meant, and those that are known. `written` is what the
/// file says in the name's place.
pub(super) fn unknown(noun: &str, name: &str, written: &str, known: &[&str]) -> String {
    let found = shown(written);
    match (nearest(name, known), known) {
        (Some(near), [_]) => format!("unknown {noun} {found}; did you mean `{near}`?"),
        (Some(near), _) => format!("unknown {noun} {found}; did you mean `{near}`? known are {}", listed(known)),
        (None, []) => format!("unknown {noun} {found}; there are none"),
        (None, [only]) => format!("unknown {noun} {found}; the only one is `{only}`"),
        (None, _) => format!("unknown {noun} {found}; known are {}", listed(known)),
    }
}

/// `a`, `b`, `c`.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The known name that was most likely meant, if any is likely.
pub(super) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 100;
    if found.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
    let found = plain(found);
    let distance = |name: &&str| strsim::damerau_levenshtein(&found, &plain(name));
    let best = known.iter().copied().min_by_key(distance)?;
    let allowed = (found.chars().count().max(best.chars().count()) / 3).max(1);
    (distance(&best) <= allowed).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_if_it_is_near() {
        let known = ["listeners", "upstreams", "max_body", "log", "on"];
        for (found, name) in [
            ("listener", Some("listeners")),
            ("upsteams", Some("upstreams")),
            ("max-body", Some("max_body")),
            ("maxBody", Some("max_body")),
            ("lgo", Some("log")),
            ("no", Some("on")),
            ("tls", None),
            ("entirely_else", None),
        ] {
            assert_eq!(nearest(found, &known), name, "{found}");
        }
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
