//! What the directives `set`, `if`, `rewrite`, `return` and `break` make of a request, in their order, as nginx runs them.

use std::collections::{HashMap, HashSet};

use super::condition::Condition;
use super::directive::Directive;
use super::level::Level;
use super::map::{Maps, Scope};
use super::notes::Notes;
use super::path::{Paths, Relation};
use super::real_ip::RealIp;
use super::request_facts::{Facts, compiled};
use super::route::{Action, PathChange, Target};
use super::text::{Piece, Text};
use super::tree::{Answers, Halt, Question};
use super::{content, replies, unknown};

/// What the directives of the `http` block mean to every place below it.
pub(super) struct World<'a, 't> {
    /// The `http` block.
    pub(super) http: Level<'t>,
    /// The maps.
    pub(super) maps: &'a Maps<'t>,
    /// What is found.
    pub(super) notes: &'a Notes,
    /// Whose word about clients' addresses counts; nobody's for none.
    pub(super) real_ip: Option<RealIp>,
    /// The headers of `X-Forwarded-*` in which some place passes on what its clients say.
    pub(super) passed_on: HashSet<String>,
}

/// A server, as its locations see it.
pub(super) struct Host<'a, 't> {
    /// What is around it.
    pub(super) world: &'a World<'a, 't>,
    /// It.
    pub(super) directive: &'t Directive,
    /// Its block.
    pub(super) level: Level<'t>,
    /// What is known of its requests.
    pub(super) facts: Facts,
    /// Its ports, as far as they are numbers.
    pub(super) ports: Vec<u16>,
    /// Whether connections begin with PROXY protocol, for each of its addresses.
    pub(super) by_proxy_protocol: Vec<bool>,
    /// Its first name.
    pub(super) name: Option<&'t str>,
    /// Its named locations.
    pub(super) named: HashMap<&'t str, &'t Directive>,
}

/// A request on its way through the directives of its server and its location.
pub(super) struct Run<'a, 't> {
    pub(super) host: &'a Host<'a, 't>,
    pub(super) answers: &'a Answers,
    pub(super) variables: HashMap<String, Text>,
    /// The paths of the location.
    pub(super) paths: Paths,
    /// What is around the request: the location, or an `if` in it.
    pub(super) level: Level<'t>,
    /// The path that takes the place of the request's.
    pub(super) rewritten: Option<String>,
    /// The expression whose groups that path has.
    pub(super) path: Option<String>,
    /// Whether `$1` is a group of something that the path is not.
    pub(super) foreign_groups: bool,
    /// Whether no further directive counts.
    pub(super) is_over: bool,
    /// Whether it came to a named location.
    pub(super) is_named: bool,
    /// Whether an `if` may hold that is taken for one that does not.
    pub(super) is_unsure: bool,
}

impl<'t> Run<'_, 't> {
    /// What variables are evaluated with.
    pub(super) fn scope(&self) -> Scope<'_, 't> {
        Scope {
            maps: self.host.world.maps,
            variables: &self.variables,
            answers: self.answers,
            facts: &self.host.facts,
            notes: self.host.world.notes,
        }
    }

    /// A string with what `set` and `map` make of it.
    ///
    /// # Errors
    /// What must be asked first, or why it has no counterpart.
    pub(super) fn text(&self, written: &str) -> Result<Text, Halt> {
        let text = self.scope().expand(&Text::parse(written))?;
        if self.foreign_groups && text.pieces().iter().any(Piece::is_group) {
            return Err(Halt::Never("groups of an expression on anything but the path are not kept here".to_owned()));
        }
        match text.pieces().iter().find(|piece| matches!(piece, Piece::Variable(name) if self.is_changed(name))) {
            Some(_) => Err(Halt::Never(format!("`{written}` has a path that was written anew before"))),
            None => Ok(text),
        }
    }

    /// The same as a template of the YAML.
    ///
    /// # Errors
    /// What must be asked first, or why it has no counterpart.
    pub(super) fn template(&self, written: &str) -> Result<String, Halt> {
        self.text(written)?.template().map_err(Halt::Never)
    }

    /// Whether a rewrite has changed what a variable holds.
    fn is_changed(&self, variable: &str) -> bool {
        let has_query = || self.rewritten.as_deref().is_some_and(|path| path.contains('?'));
        match variable {
            "uri" | "document_uri" | "request_filename" => self.rewritten.is_some(),
            "args" | "query_string" | "is_args" => has_query(),
            name => name.starts_with("arg_") && has_query(),
        }
    }

    /// Runs the directives of a block; what they decide, if they do.
    ///
    /// # Errors
    /// What must be asked first, or why it cannot be said.
    pub(super) fn block(&mut self, block: &'t [Directive], is_server: bool) -> Result<Option<Action>, Halt> {
        // of several conditions that hold, the block of the last one counts
        let around = self.level.clone();
        for directive in block {
            match directive.name.as_str() {
                "set" => {
                    let name = directive.done().first().trim_start_matches('$').to_owned();
                    if matches!(name.as_str(), "args" | "query_string") {
                        return Err(Halt::Never("`set` changes the query".to_owned()));
                    }
                    let value = self.text(directive.args.get(1).map_or("", String::as_str))?;
                    self.variables.insert(name, value);
                }
                "break" => {
                    directive.done();
                    self.is_over = true;
                }
                "return" => return replies::of_return(self, directive.done()).map(Some),
                "rewrite" => {
                    if let Some(action) = self.rewrite(directive, is_server)? {
                        return Ok(Some(action));
                    }
                }
                "if" if self.condition(directive)? => {
                    self.level = around.within_if(directive.children());
                    if let Some(action) = self.block(directive.children(), is_server)? {
                        return Ok(Some(action));
                    }
                }
                _ => unknown::here(directive)?,
            }
            if self.is_over {
                break;
            }
        }
        Ok(None)
    }

    /// Whether the condition of an `if` holds. One that cannot be said does not, where that lets nobody in: what is in its block then changes
    /// nothing but headers and logs, and variables, which are no longer known.
    fn condition(&mut self, directive: &'t Directive) -> Result<bool, Halt> {
        directive.done();
        let never = |run: &mut Self, why: String| {
            // if it holds, its block counts in the place of that of an earlier one, and requests do not go where that leads
            let leads_away = run.level.is_within_if() && run.level.own().iter().any(|own| content::hands_on(&own.name));
            if leads_away || !directive.children().iter().all(unknown::is_harmless) {
                return Err(Halt::Never(why));
            }
            for set in directive.children().iter().filter(|child| child.name == "set") {
                let name = set.first().trim_start_matches('$');
                run.variables.insert(name.to_owned(), Text::unknown(name));
            }
            run.is_unsure = true;
            run.host.world.notes.leave_out(directive, &why);
            Ok(false)
        };
        let condition = match Condition::parse(directive) {
            Ok(condition) => condition,
            Err(why) => return never(self, why),
        };
        let is_changed = |piece: &Piece| matches!(piece, Piece::Variable(name) if self.is_changed(name));
        if condition.subject().pieces().iter().any(is_changed) {
            return never(self, "it looks at a path that was written anew before".to_owned());
        }
        if let (Some("uri" | "document_uri"), Some((expression, wanted))) =
            (condition.subject().as_variable(), condition.expression())
        {
            let any_case = expression.starts_with("~*");
            let text = expression.trim_start_matches(['~', '*']).trim_start().to_owned();
            return Ok(self.matches(&text, any_case)? == wanted);
        }
        match condition.holds(&self.scope()) {
            Err(Halt::Never(why)) => never(self, why),
            Ok(true) => {
                self.foreign_groups |= condition.has_groups();
                Ok(true)
            }
            other => other,
        }
    }

    /// Whether the path matches an expression.
    ///
    /// # Errors
    /// What must be asked first, or why it cannot be said.
    pub(super) fn matches(&mut self, text: &str, any_case: bool) -> Result<bool, Halt> {
        let compiled = compiled(text, any_case)?;
        let relation = self.paths.relation(text, any_case);
        let holds = match relation {
            Relation::MatchesNone => false,
            Relation::Covers => true,
            Relation::Within | Relation::Unknown => self.answers.ask(Question::Path(self.asked(text, any_case)?))?,
        };
        if holds && compiled.captures_len() > 1 {
            let is_own = matches!(&self.paths, Paths::Expression { text: own, .. } | Paths::Below { text: own, .. } if own == text);
            // groups of all paths whose beginning is known
            self.path = if is_own { None } else { Some(self.asked(text, any_case)?) };
            self.foreign_groups = false;
        }
        Ok(holds)
    }

    /// A route's pattern for the paths of the location that an expression matches.
    fn asked(&self, text: &str, any_case: bool) -> Result<String, Halt> {
        let alone = Paths::Expression { text: text.to_owned(), any_case };
        let paths = match &self.paths {
            own if alone.are_within(own) => Some(alone),
            Paths::Prefix(prefix) => alone.below(prefix),
            _ => None,
        };
        paths
            .filter(Paths::are_by_expression)
            .and_then(|paths| paths.pattern())
            .ok_or_else(|| Halt::Never(format!("a route cannot ask for `{text}` beside the path of its location")))
    }

    /// The path change that was made here.
    pub(super) fn path_change(&self) -> Option<PathChange> {
        self.rewritten.clone().map(PathChange::Rewrite)
    }

    /// The action that goes to a target, with what belongs to it.
    pub(super) fn action(&self, target: Target) -> Action {
        Action { target, path: self.path.clone(), ..Action::default() }
    }
}

impl Host<'_, '_> {
    /// The address of the server itself, as nginx puts it before a path that clients are sent to; nothing where it does not.
    pub(super) fn own_address(&self, level: &Level<'_>) -> &'static str {
        if level.word("absolute_redirect") == Some("off") {
            return "";
        }
        let is_usual = |port: &u16| matches!(port, 80 | 443);
        let names_port = level.word("port_in_redirect") != Some("off");
        if names_port && !self.ports.is_empty() && !self.ports.iter().any(is_usual) {
            "$scheme://$host:$server_port"
        } else {
            "$scheme://$host"
        }
    }
}
