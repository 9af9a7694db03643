//! The `models` of a route: the names that it takes, what they are called upstream, and where they go. Edits no call, and chooses no
//! server.

use std::fmt;
use std::sync::Arc;

use glob::Glob;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CallFacts;

/// The rules of a route's `models`, in their order. None where the route has no `models`.
///
/// ```
/// use plugin_api::{AnswerModel, Glob, ModelRule, RouteModels};
///
/// let rule = |pattern, model: Option<&str>| ModelRule {
///     pattern: Glob::new(pattern),
///     model: model.map(Into::into),
///     upstream: None,
///     answer_model: AnswerModel::Served,
/// };
/// let models = RouteModels::new(vec![rule("fast", Some("claude-haiku-4-5")), rule("gpt-*", None)]);
/// assert_eq!(models.find("Fast").and_then(|rule| rule.model.as_deref()), Some("claude-haiku-4-5"));
/// assert!(models.find("gpt-5").is_some() && models.find("claude-opus-5").is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteModels {
    rules: Option<Arc<[ModelRule]>>,
    /// Names that a plugin of the route takes in the place of models.
    routed: Option<Arc<[Box<str>]>>,
}

/// One rule: what becomes of the models that it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelRule {
    /// The names that it takes.
    pub pattern: Glob,
    /// The name by which the upstream is asked. `None`: the call's own.
    pub model: Option<Arc<str>>,
    /// The name of the upstream. `None`: the route's own.
    pub upstream: Option<Arc<str>>,
    /// The model that the answer names.
    pub answer_model: AnswerModel,
}

/// The model that an answer names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerModel {
    /// The one that the upstream says: the answer passes unchanged.
    #[default]
    Served,
    /// The one that the client asked for.
    Asked,
}

/// A call names its model more than once, and the rules send the names to different places. Which of them a server would read
/// is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousModel;

impl RouteModels {
    /// These rules. The first that takes a name counts.
    #[must_use]
    pub fn new(rules: Vec<ModelRule>) -> Self {
        Self { rules: (!rules.is_empty()).then(|| rules.into()), routed: None }
    }

    /// The same on a route with a plugin that chooses a model for calls that ask for one of these names.
    #[must_use]
    pub fn with_routed(self, names: Vec<Box<str>>) -> Self {
        Self { routed: (!names.is_empty()).then(|| names.into()), ..self }
    }

    /// The names for which a plugin of the route chooses a model.
    pub fn routed(&self) -> impl Iterator<Item = &str> {
        self.routed.iter().flat_map(|names| names.iter()).map(|name| &**name)
    }

    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[ModelRule] {
        self.rules.as_deref().unwrap_or_default()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_none()
    }

    /// The rule that takes a model of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ModelRule> {
        self.rules().iter().find(|rule| rule.pattern.matches(name))
    }

    /// The rule that takes a call. A call that names no model for certain is taken by none.
    ///
    /// # Errors
    /// That different rules take the names that a server might read in it.
    pub fn rule_of(&self, call: &CallFacts) -> Result<Option<&ModelRule>, AmbiguousModel> {
        let rule_of = |name: &Option<String>| self.find(name.as_deref()?);
        let rule = rule_of(&call.model);
        let is_same = |other: Option<&ModelRule>| match (rule, other) {
            (Some(rule), Some(other)) => std::ptr::eq(rule, other),
            (rule, other) => rule.is_none() && other.is_none(),
        };
        match call.other_models.iter().all(|other| is_same(rule_of(other))) {
            true => Ok(rule),
            false => Err(AmbiguousModel),
        }
    }
}

impl fmt::Display for AmbiguousModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The call names its model more than once, and these names are served in different places")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> RouteModels {
        let rule = |pattern: &str, upstream: &str| ModelRule {
            pattern: Glob::new(pattern),
            model: None,
            upstream: Some(upstream.into()),
            answer_model: AnswerModel::Served,
        };
        RouteModels::new(vec![rule("a", "1"), rule("a-*", "2"), rule("*", "3")])
    }

    fn call(model: Option<&str>, others: &[Option<&str>]) -> CallFacts {
        let other_models = others.iter().map(|other| other.map(str::to_owned)).collect();
        CallFacts { model: model.map(str::to_owned), other_models, ..CallFacts::default() }
    }

    #[test]
    fn the_first_rule_that_takes_every_name_of_a_call_counts() {
        for (model, others, upstream) in [
            (Some("a"), &[][..], Ok(Some("1"))),
            (Some("A-b"), &[], Ok(Some("2"))),
            (Some("x"), &[], Ok(Some("3"))),
            (None, &[], Ok(None)),
            // both are taken by one rule, whichever a server reads
            (Some("a-b"), &[Some("a-c")], Ok(Some("2"))),
            (Some("a-b"), &[Some("a")], Err(AmbiguousModel)),
            (Some("a"), &[Some("a"), Some("x")], Err(AmbiguousModel)),
            (Some("a"), &[None], Err(AmbiguousModel)),
            (None, &[Some("a")], Err(AmbiguousModel)),
            (None, &[None], Ok(None)),
        ] {
            let (models, call) = (models(), call(model, others));
            let found = models.rule_of(&call).map(|rule| rule.and_then(|rule| rule.upstream.as_deref()));
            assert_eq!(found, upstream, "{model:?} {others:?}");
        }
        assert_eq!(RouteModels::default().rule_of(&call(Some("a"), &[Some("b")])), Ok(None));
    }
}
