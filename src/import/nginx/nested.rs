//! The locations of a server as they stand within each other, and how nginx looks for one among them.

use std::collections::HashMap;

use super::content;
use super::directive::Directive;
use super::notes::Notes;
use super::path::{Paths, Relation};
use super::relaxed::relaxed;
use super::request_facts::compiled;

/// The locations of one block.
#[derive(Debug, Default)]
pub(super) struct Block<'t> {
    exact: Vec<Node<'t>>,
    /// Prefixes, the longest first.
    pub(super) prefixes: Vec<Node<'t>>,
    /// Expressions in their order.
    pub(super) expressions: Vec<Expression<'t>>,
}

/// A location that is found by its text.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) text: &'t str,
    /// The locations around it, and itself as the last.
    pub(super) chain: Vec<&'t Directive>,
    /// Whether it ends the search: `^~`.
    pub(super) is_final: bool,
    /// The locations within it.
    pub(super) inner: Block<'t>,
}

/// A location that is found by an expression.
#[derive(Debug)]
pub(super) struct Expression<'t> {
    /// What it matches; more than that where it has no counterpart.
    pub(super) paths: Paths,
    /// The locations around it, and itself as the last.
    pub(super) chain: Vec<&'t Directive>,
    /// Why it has no counterpart.
    pub(super) refusal: Option<String>,
    /// The locations within it.
    pub(super) inner: Block<'t>,
}

enum Kind {
    Exact,
    FinalPrefix,
    Expression { any_case: bool },
    Prefix,
    Named,
}

impl<'t> Block<'t> {
    /// Those of a block. Named ones are put with the others of their kind.
    pub(super) fn of(
        block: &'t [Directive],
        around: &[&'t Directive],
        named: &mut HashMap<&'t str, &'t Directive>,
        notes: &Notes,
    ) -> Self {
        let mut found = Self::default();
        for directive in block.iter().filter(|directive| directive.name == "location") {
            let Some((kind, text)) = kind(&directive.args) else {
                notes.leave_out(directive, "it takes no path that can be read");
                continue;
            };
            if matches!(kind, Kind::Named) {
                named.insert(text, directive);
                continue;
            }
            directive.done();
            let chain: Vec<&Directive> = around.iter().copied().chain([directive]).collect();
            let inner = Self::of(directive.children(), &chain, named, notes);
            match kind {
                Kind::Expression { any_case } => {
                    let (paths, refusal) = expression(text, any_case);
                    found.expressions.push(Expression { paths, chain, refusal, inner });
                }
                Kind::Exact => found.exact.push(Node { text, chain, is_final: true, inner }),
                kind => {
                    let is_final = matches!(kind, Kind::FinalPrefix);
                    found.prefixes.push(Node { text, chain, is_final, inner });
                }
            }
        }
        found.prefixes.sort_by_key(|node| usize::MAX - node.text.len());
        found
    }

    /// All locations for one path each, within others too.
    pub(super) fn all_exact(&self) -> Vec<&Node<'t>> {
        let inner = self.prefixes.iter().flat_map(|node| node.inner.all_exact());
        self.exact.iter().chain(inner).collect()
    }

    /// The location for this very path, if nginx's search ends at one: in each block it goes on in the longest prefix.
    pub(super) fn exact_at(&self, path: &str) -> Option<&Node<'t>> {
        let own = self.exact.iter().find(|node| node.text == path);
        own.or_else(|| self.prefixes.iter().find(|node| path.starts_with(node.text))?.inner.exact_at(path))
    }

    /// The texts of all locations that are found by them.
    pub(super) fn all_texts(&self) -> Vec<&'t str> {
        let nodes = self.exact.iter().chain(&self.prefixes);
        nodes.flat_map(|node| std::iter::once(node.text).chain(node.inner.all_texts())).collect()
    }

    /// The location by which nginx sends a client that asks for this path to the same one with a slash: it hands requests on.
    pub(super) fn completed_by(&self, path: &str) -> Option<&Node<'t>> {
        let mut nodes = self.exact.iter().chain(&self.prefixes);
        let is_completed = |node: &&Node<'_>| node.text.strip_suffix('/') == Some(path) && node.hands_on();
        match self.prefixes.iter().find(|node| path.starts_with(node.text)) {
            _ if self.exact.iter().any(|node| node.text == path) => None,
            Some(node) if node.text == path => node.inner.completed_by(path),
            longest => nodes.find(is_completed).or_else(|| longest?.inner.completed_by(path)),
        }
    }

    /// Whether an expression is tried in it or further in.
    pub(super) fn has_expressions(&self) -> bool {
        !self.expressions.is_empty() || self.prefixes.iter().any(|node| node.inner.has_expressions())
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty() && self.expressions.is_empty()
    }

    /// The locations within one by expression, with what they take of its paths.
    ///
    /// # Errors
    /// Why a route cannot ask for them.
    pub(super) fn within_expression(&self, paths: &Paths) -> Result<Vec<(Paths, Vec<&'t Directive>)>, String> {
        let mut found = Vec::new();
        if !self.exact.is_empty() || !self.prefixes.is_empty() {
            return Err("a prefix within an expression is not looked for here".to_owned());
        }
        for expression in &self.expressions {
            let relation = match &expression.paths {
                Paths::Expression { text, any_case } => paths.relation(text, *any_case),
                _ => Relation::Unknown,
            };
            let both = match relation {
                Relation::Covers => paths.clone(),
                Relation::Within => expression.paths.clone(),
                Relation::MatchesNone => continue,
                Relation::Unknown => return Err("a route cannot ask for two expressions at once".to_owned()),
            };
            if let Some(why) = &expression.refusal {
                return Err(why.clone());
            }
            if !expression.inner.is_empty() {
                found.extend(expression.inner.within_expression(&both)?);
            }
            found.push((both, expression.chain.clone()));
        }
        Ok(found)
    }
}

impl Node<'_> {
    fn hands_on(&self) -> bool {
        let own = self.chain.last().map_or(&[][..], |directive| directive.children());
        own.iter().any(|directive| content::hands_on(&directive.name))
    }

    /// Whether all of its paths have the prefix of another one.
    pub(super) fn is_below(&self, outer: &Self) -> bool {
        self.text.starts_with(outer.text)
    }
}

/// What an expression matches. One that has no counterpart is taken for one that matches more, and has the reason with it.
fn expression(text: &str, any_case: bool) -> (Paths, Option<String>) {
    let of = |text: &str| Paths::Expression { text: text.to_owned(), any_case };
    if compiled(text, any_case).is_ok() {
        return (of(text), None);
    }
    let why = "its expression is none here, where matching never takes long".to_owned();
    let more = relaxed(text);
    let is_one = !more.is_empty() && compiled(&more, any_case).is_ok();
    (if is_one { of(&more) } else { Paths::Any }, Some(why))
}

fn kind(args: &[String]) -> Option<(Kind, &str)> {
    let expression = |any_case| Kind::Expression { any_case };
    Some(match args {
        [mark, text] => match mark.as_str() {
            "=" => (Kind::Exact, text),
            "^~" => (Kind::FinalPrefix, text),
            "~" => (expression(false), text),
            "~*" => (expression(true), text),
            _ => return None,
        },
        [text] => {
            if let Some(path) = text.strip_prefix('=') {
                (Kind::Exact, path)
            } else if let Some(path) = text.strip_prefix("^~") {
                (Kind::FinalPrefix, path)
            } else if let Some(text) = text.strip_prefix("~*") {
                (expression(true), text)
            } else if let Some(text) = text.strip_prefix('~') {
                (expression(false), text)
            } else if text.starts_with('@') {
                (Kind::Named, text)
            } else {
                (Kind::Prefix, text)
            }
        }
        _ => return None,
    })
}
