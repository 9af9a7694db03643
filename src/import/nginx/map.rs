//! `map`: the values of variables that are made of others.

use std::collections::HashMap;
use std::mem;

use super::directive::Directive;
use super::methods;
use super::notes::Notes;
use super::request_facts::{Facts, Subject, Test};
use super::text::{Piece, Text};
use super::tree::{Answers, Halt};

/// How deep variables may refer to each other.
const DEEPEST: usize = 8;

/// The maps of the `http` block, by the variables that they make.
#[derive(Debug, Default)]
pub(super) struct Maps<'t>(HashMap<&'t str, &'t Directive>);

/// What variables are evaluated with.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a, 't> {
    /// The maps.
    pub(super) maps: &'a Maps<'t>,
    /// Those that `set` has made.
    pub(super) variables: &'a HashMap<String, Text>,
    /// What is known of the request.
    pub(super) answers: &'a Answers,
    /// What is known of every request.
    pub(super) facts: &'a Facts,
    /// What is found.
    pub(super) notes: &'a Notes,
}

impl<'t> Maps<'t> {
    pub(super) fn new(block: &'t [Directive]) -> Self {
        let maps = block.iter().filter(|directive| directive.name == "map");
        Self(maps.filter_map(|map| Some((map.args.get(1)?.strip_prefix('$')?, map))).collect())
    }

    /// The map that makes a variable.
    pub(super) fn get(&self, variable: &str) -> Option<&'t Directive> {
        self.0.get(variable).copied()
    }

    /// Whether a variable has what the client says in this header, or another value where it says nothing.
    pub(super) fn is_header_or(&self, variable: &str, header: &str) -> bool {
        let Some(map) = self.get(variable) else { return false };
        let source = format!("$http_{}", header.replace('-', "_"));
        let passes = |value: &Directive| value.name == "default" && *value.first() == source;
        let is_one = map.first() == source && map.children().iter().any(passes);
        if is_one {
            map.all_done();
        }
        is_one
    }
}

impl<'t> Scope<'_, 't> {
    /// A string with the variables in it replaced that `set` and `map` make.
    ///
    /// # Errors
    /// What must be asked first, or why it has no counterpart.
    pub(super) fn expand(&self, text: &Text) -> Result<Text, Halt> {
        self.expand_at(text, 0)
    }

    fn expand_at(&self, text: &Text, depth: usize) -> Result<Text, Halt> {
        if depth > DEEPEST {
            return Err(Halt::Never("a variable refers to itself".to_owned()));
        }
        let mut expanded = Text::default();
        for piece in text.pieces() {
            match piece {
                Piece::Variable(name) => match (self.variables.get(name), self.maps.get(name)) {
                    (Some(value), _) => expanded.append(value.clone()),
                    (None, Some(map)) => expanded.append(self.mapped(map, depth)?),
                    (None, None) => expanded.append(Text::parse(&format!("${name}"))),
                },
                Piece::Literal(text) => expanded.append(Text::literal(text)),
                Piece::Environment(name) => expanded.append(Text::parse(&format!("${{{name}}}"))),
            }
        }
        Ok(expanded)
    }

    fn mapped(&self, map: &Directive, depth: usize) -> Result<Text, Halt> {
        map.all_done();
        let mut default = "";
        let (mut exact, mut expressions) = (Vec::new(), Vec::new());
        for entry in map.children() {
            let value = entry.first();
            match entry.name.as_str() {
                "default" => default = value,
                "volatile" => {}
                "hostnames" | "include" => {
                    return Err(Halt::Never(format!("`{}` in a map has no counterpart here", entry.name)));
                }
                key => match key.strip_prefix('~') {
                    Some(expression) => {
                        let any_case = expression.strip_prefix('*');
                        let expression = any_case.unwrap_or(expression).to_owned();
                        expressions.push((Test::Matches { expression, any_case: any_case.is_some() }, value));
                    }
                    None => exact.push((Test::IsAnyCase(key.strip_prefix('\\').unwrap_or(key).to_owned()), value)),
                },
            }
        }
        let source = self.expand_at(&Text::parse(map.first()), depth + 1)?;
        let value = self.choose(&source, exact.iter().chain(&expressions))?.unwrap_or(default);
        self.expand_at(&Text::parse(value), depth + 1)
    }

    /// The value of the first entry whose test a string stands.
    fn choose<'e>(
        &self,
        source: &Text,
        entries: impl Iterator<Item = &'e (Test, &'e str)>,
    ) -> Result<Option<&'e str>, Halt> {
        for (test, value) in entries {
            if self.stands(source, test)? {
                return Ok(Some(*value));
            }
        }
        Ok(None)
    }

    /// Whether a string stands a test.
    ///
    /// # Errors
    /// What must be asked first, or why it cannot be told.
    pub(super) fn stands(&self, text: &Text, test: &Test) -> Result<bool, Halt> {
        if let Some(subject) = text.as_variable().and_then(Subject::named) {
            return subject.stands(test, self.answers, self.facts, self.notes);
        }
        let mut value = String::new();
        // what stands before a method that is none of the usual ones
        let mut before: Option<String> = None;
        for piece in text.pieces() {
            match piece {
                Piece::Literal(text) => value.push_str(text),
                Piece::Variable(name) => match Subject::named(name) {
                    Some(subject) => match subject.value(self.answers, self.facts)? {
                        Some(known) => value += &known,
                        None if before.is_none() => before = Some(mem::take(&mut value)),
                        None => return Err(Halt::Never("routes cannot ask for a method twice".to_owned())),
                    },
                    None => return Err(Halt::Never(format!("routes cannot tell requests apart by `${name}`"))),
                },
                Piece::Environment(name) => {
                    return Err(Halt::Never(format!("what `${{{name}}}` holds is known only when the gateway starts")));
                }
            }
        }
        match before {
            None => test.holds(&value),
            Some(before) => methods::holds_for_other_methods(test, &before, &value),
        }
    }
}
