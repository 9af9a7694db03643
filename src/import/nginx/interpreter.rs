//! What the directives `set`, `if`, `rewrite`, `return` and `break` make of a request, in their order, as nginx runs them.

use std::collections::HashMap;

use super::condition::Condition;
use super::directive::Directive;
use super::level::Level;
use super::location::Location;
use super::map::{Maps, Scope};
use super::notes::Notes;
use super::path::{Paths, Relation};
use super::request_facts::{Facts, compiled};
use super::route::{Action, PathChange, Target};
use super::text::{Piece, Text};
use super::tree::{Answers, Halt, Question};
use super::{content, replies};

/// What the directives of the `http` block mean to every place below it.
pub(super) struct World<'a, 't> {
    /// The `http` block.
    pub(super) http: Level<'t>,
    /// The maps.
    pub(super) maps: &'a Maps<'t>,
    /// What is found.
    pub(super) notes: &'a Notes,
    /// Whether proxies before this one are trusted.
    pub(super) has_trusted_proxies: bool,
}

/// A server, as its locations see it.
pub(super) struct Host<'a, 't> {
    /// What is around it.
    pub(super) world: &'a World<'a, 't>,
    /// Its block.
    pub(super) level: Level<'t>,
    /// What is known of its requests.
    pub(super) facts: Facts,
    /// Its ports, as far as they are numbers.
    pub(super) ports: Vec<u16>,
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
    foreign_groups: bool,
    /// Whether no further directive counts.
    is_over: bool,
}

/// What a request that reaches a location comes to.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn decide<'t>(
    host: &Host<'_, 't>,
    location: Option<&Location<'t>>,
    answers: &Answers,
) -> Result<Action, Halt> {
    let mut run = Run {
        host,
        answers,
        variables: HashMap::new(),
        paths: location.map_or(Paths::Any, |location| location.paths.clone()),
        level: host.level.clone(),
        rewritten: None,
        path: None,
        foreign_groups: false,
        is_over: false,
    };
    if let Some(action) = run.block(host.level.own(), true)? {
        return Ok(Action { is_of_server: true, ..action });
    }
    let Some(location) = location else { return Ok(Action::answer(404)) };
    run.level = location.chain.iter().fold(host.level.clone(), |level, directive| level.within(directive.children()));
    run.is_over = false;
    // nginx looks at both before it runs a directive of the location
    if let Some(action) =
        content::unreachable(location).map_or_else(|| content::excepted(&run), |none| Ok(Some(none)))?
    {
        return Ok(action);
    }
    if let Some(action) = run.block(run.level.own(), false)? {
        return Ok(action);
    }
    content::of(&run)
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
        let is_group = |piece: &Piece| matches!(piece, Piece::Variable(name) if name.parse::<u8>().is_ok());
        if self.foreign_groups && text.pieces().iter().any(is_group) {
            return Err(Halt::Never("groups of an expression on anything but the path are not kept here".to_owned()));
        }
        Ok(text)
    }

    /// The same as a template of the YAML.
    ///
    /// # Errors
    /// What must be asked first, or why it has no counterpart.
    pub(super) fn template(&self, written: &str) -> Result<String, Halt> {
        self.text(written)?.template().map_err(Halt::Never)
    }

    fn block(&mut self, block: &'t [Directive], is_server: bool) -> Result<Option<Action>, Halt> {
        // of several conditions that hold, the block of the last one counts
        let around = self.level.clone();
        for directive in block {
            match directive.name.as_str() {
                "set" => {
                    let name = directive.done().first().trim_start_matches('$').to_owned();
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
                _ => {}
            }
            if self.is_over {
                break;
            }
        }
        Ok(None)
    }

    /// Whether the condition of an `if` holds. One that cannot be said does not, unless it keeps somebody out.
    fn condition(&mut self, directive: &'t Directive) -> Result<bool, Halt> {
        directive.done();
        let never = |why: String| {
            if keeps_out(directive) {
                return Err(Halt::Never(why));
            }
            self.host.world.notes.leave_out(directive, &why);
            Ok(false)
        };
        let condition = match Condition::parse(directive) {
            Ok(condition) => condition,
            Err(why) => return never(why),
        };
        if let (Some("uri" | "document_uri"), Some((expression, wanted))) =
            (condition.subject().as_variable(), condition.expression())
        {
            let any_case = expression.starts_with("~*");
            let text = expression.trim_start_matches(['~', '*']).trim_start().to_owned();
            return Ok(self.matches(&text, any_case)? == wanted);
        }
        match condition.holds(&self.scope()) {
            Err(Halt::Never(why)) => never(why),
            Ok(true) => {
                self.foreign_groups |= condition.has_groups();
                Ok(true)
            }
            other => other,
        }
    }

    /// Whether the path matches an expression.
    fn matches(&mut self, text: &str, any_case: bool) -> Result<bool, Halt> {
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

    fn rewrite(&mut self, directive: &'t Directive, is_server: bool) -> Result<Option<Action>, Halt> {
        let [expression, replacement, flags @ ..] = &*directive.done().args else {
            return Err(Halt::Never("`rewrite` has no replacement".to_owned()));
        };
        let flag = flags.first().map_or("", String::as_str);
        let is_address = ["http://", "https://", "$scheme"].iter().any(|start| replacement.starts_with(start));
        let is_redirect = is_address || matches!(flag, "redirect" | "permanent");
        if !is_redirect && (is_server || flag != "break") && !self.stays_here(replacement) {
            return Err(Halt::Never(format!("`{}` goes on to another location", directive.summary())));
        }
        if self.rewritten.is_some() {
            return Err(Halt::Never(format!("`{}` changes a path for the second time", directive.summary())));
        }
        // all of a path is a variable of its own
        let whole = match expression.as_str() {
            "^(.*)$" | "^(.*)" | "(.*)" | "^(.+)$" | "(.+)" => Some("$uri"),
            "^/(.*)$" | "^/(.*)" | "/(.*)" => Some("/$uri"),
            _ => None,
        };
        let replacement = match whole {
            Some("$uri") => replacement.replace("$1", "$uri"),
            Some(_) => replacement.replace("/$1", "$uri"),
            None => replacement.clone(),
        };
        if whole.is_none() && !self.matches(expression, false)? {
            return Ok(None);
        }
        if is_redirect {
            let status = if flag == "permanent" { 301 } else { 302 };
            return replies::of_rewrite(self, &replacement, status).map(Some);
        }
        let mut template = self.template(&replacement)?;
        if let Some((path, args)) = template.split_once('?') {
            template = if args.is_empty() { path.to_owned() + "?" } else { format!("{path}?{args}&$args") };
            self.host.world.notes.remark(
                "A path that is written anew with a query of its own ends with ? or & where the client sent none.",
            );
        }
        if !template.starts_with(['/', '$']) {
            return Err(Halt::Never(format!("`{replacement}` is no path")));
        }
        self.rewritten = Some(template);
        self.is_over = true;
        Ok(None)
    }

    /// Whether a path that is written anew still belongs to the location, which then takes it as it would after `break`.
    fn stays_here(&self, replacement: &str) -> bool {
        matches!(&self.paths, Paths::Prefix(prefix) if prefix == "/" && self.host.locations() == 1 && replacement.starts_with('/'))
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

    /// How many locations it has.
    fn locations(&self) -> usize {
        self.level.own().iter().filter(|directive| directive.name == "location").count()
    }
}

/// Whether an `if` keeps somebody out.
fn keeps_out(directive: &Directive) -> bool {
    let is_refusal = |child: &Directive| match child.name.as_str() {
        "return" => child.first().starts_with('4'),
        "deny" => true,
        _ => false,
    };
    directive.children().iter().any(is_refusal)
}
