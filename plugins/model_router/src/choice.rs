//! Chooses a model by the rules of a name: the first whose conditions all hold.

use plugin_api::{CallFacts, Principal};

use crate::facts::Facts;
use crate::settings::{AnyOf, Pattern, Router, When};

/// What the conditions of a call are read from.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) call: &'a CallFacts,
    pub(crate) facts: &'a Facts,
    pub(crate) caller: &'a Principal,
    /// The headers that conditions are on, by name.
    pub(crate) headers: &'a [(Box<str>, Box<str>)],
    /// What the caller has spent of the budget that is nearest to its end; 1 is all of it.
    pub(crate) budget_used: Option<f64>,
    /// Seconds since 1970, UTC.
    pub(crate) unix: i64,
}

/// A model, and the rule that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice<'r> {
    pub(crate) model: &'r str,
    /// The place of the rule; `None` for `otherwise`.
    pub(crate) rule: Option<usize>,
}

impl Router {
    /// The model for a call.
    pub(crate) fn choose(&self, subject: &Subject<'_>) -> Choice<'_> {
        let rule = self.rules.iter().position(|rule| rule.when.holds(subject));
        let model = rule.map_or(&*self.otherwise, |rule| &*self.rules[rule].model);
        Choice { model, rule }
    }

    /// What `x-tollgate-rule` calls a rule: its name, else its number from 1.
    pub(crate) fn rule_name(&self, rule: Option<usize>) -> String {
        match rule {
            None => "otherwise".to_owned(),
            Some(place) => {
                let name = self.rules.get(place).and_then(|rule| rule.name.as_ref());
                name.map_or_else(|| (place + 1).to_string(), |name| name.as_str().to_owned())
            }
        }
    }
}

impl When {
    /// Whether all of them hold.
    fn holds(&self, subject: &Subject<'_>) -> bool {
        let Subject { call, facts, caller, .. } = subject;
        let is = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        is(self.tools, call.tools)
            && is(self.stream, call.stream)
            && is(self.images, facts.images)
            && is(self.documents, facts.documents)
            && is(self.thinking, facts.thinking)
            && self.turns.is_none_or(|turns| turns.holds(facts.turns))
            && self.input_tokens.is_none_or(|tokens| tokens.holds(facts.input_tokens))
            && self.max_tokens.is_none_or(|tokens| call.most_tokens().is_some_and(|most| tokens.holds(most)))
            && fits(self.tenant.as_ref(), caller.tenant.as_deref())
            && fits(self.key.as_ref(), caller.key_name.as_deref())
            && self.headers.iter().all(|(name, pattern)| subject.has_header(name.as_str(), pattern))
            && self.budget_used.is_none_or(|share| subject.budget_used.is_some_and(|used| share.holds(used)))
            && self.time.is_none_or(|time| time.holds(subject.unix))
            && self.script.as_ref().is_none_or(|any| facts.script.is_some_and(|script| any.values().contains(&script)))
            && self.text.as_ref().is_none_or(|words| words.are_in(&facts.last_user))
            && self.system.as_ref().is_none_or(|words| words.are_in(&facts.system))
    }
}

impl Subject<'_> {
    fn has_header(&self, name: &str, Pattern(glob): &Pattern) -> bool {
        self.headers.iter().any(|(known, value)| **known == *name && glob.matches(value))
    }
}

/// Whether one of the patterns fits a name that is wanted to be there.
fn fits(wanted: Option<&AnyOf<Pattern>>, name: Option<&str>) -> bool {
    let fits =
        |any: &AnyOf<Pattern>| name.is_some_and(|name| any.values().iter().any(|Pattern(glob)| glob.matches(name)));
    wanted.is_none_or(fits)
}
