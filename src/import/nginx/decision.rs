//! What a request comes to at a location: what its server decides, else what the location does.

use std::collections::HashMap;

use super::directive::Directive;
use super::interpreter::{Host, Run};
use super::location::Location;
use super::path::Paths;
use super::route::Action;
use super::tree::{Answers, Halt};
use super::{content, replies, unknown};

/// What a request that reaches a location comes to.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn decide<'t>(
    host: &Host<'_, 't>,
    location: Option<&Location<'t>>,
    answers: &Answers,
) -> Result<Action, Halt> {
    let mut run = Run::new(host, location, answers);
    if let Some(action) = run.server()? {
        return Ok(action);
    }
    let Some(location) = location else { return Ok(Action::answer(404)) };
    run.enter(location);
    unknown::any_around(&run.level)?;
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

/// What a request comes to whose path nginx completes with a slash, by a location that would take it then.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn completed<'t>(host: &Host<'_, 't>, location: &Location<'t>, answers: &Answers) -> Result<Action, Halt> {
    let mut run = Run::new(host, Some(location), answers);
    match run.server()? {
        Some(action) => Ok(action),
        None => {
            // nginx looks at nothing that is in the location
            run.enter(location);
            replies::to_slash(&run)
        }
    }
}

/// What a named location makes of a request that another one hands on to it.
///
/// # Errors
/// What must be asked first, or why it cannot be said.
pub(super) fn handed_on<'t>(run: &Run<'_, 't>, named: &'t Directive) -> Result<Action, Halt> {
    if run.is_named {
        return Err(Halt::Never("named locations hand requests on to each other".to_owned()));
    }
    let level = run.host.level.within(named.done().children());
    let (variables, paths) = (run.variables.clone(), run.paths.clone());
    let (rewritten, path) = (run.rewritten.clone(), run.path.clone());
    let mut run =
        Run { level, variables, paths, rewritten, path, is_over: false, is_named: true, is_unsure: false, ..*run };
    unknown::any_around(&run.level)?;
    if let Some(action) = content::excepted(&run)? {
        return Ok(action);
    }
    match run.block(run.level.own(), false)? {
        Some(action) => Ok(action),
        None => content::of(&run),
    }
}

impl<'a, 't> Run<'a, 't> {
    fn new(host: &'a Host<'a, 't>, location: Option<&Location<'t>>, answers: &'a Answers) -> Self {
        Self {
            host,
            answers,
            variables: HashMap::new(),
            paths: location.map_or(Paths::Any, |location| location.paths.clone()),
            level: host.level.clone(),
            rewritten: None,
            path: None,
            foreign_groups: false,
            is_over: false,
            is_named: false,
            is_unsure: false,
        }
    }

    /// What the directives of the server decide.
    fn server(&mut self) -> Result<Option<Action>, Halt> {
        unknown::any_around(&self.level)?;
        let decided = self.block(self.host.level.own(), true)?;
        Ok(decided.map(|action| Action { is_of_server: true, ..action }))
    }

    /// Goes on to those of a location.
    fn enter(&mut self, location: &Location<'t>) {
        let around = self.host.level.clone();
        self.level = location.chain.iter().fold(around, |level, directive| level.within(directive.children()));
        self.is_over = false;
    }
}
