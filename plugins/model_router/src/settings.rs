//! The settings, as the YAML writes them.

mod any_of;
mod header_name;
mod number;
mod rule_name;
mod time_span;
mod words;

use std::collections::BTreeMap;
use std::str::FromStr;

use glob::Glob;
use plugin_api::ConfigProblem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::script::Script;

pub use any_of::{AnyOf, Pattern};
pub use header_name::HeaderKey;
pub use number::{Number, Percent};
pub use rule_name::RuleName;
pub use time_span::TimeSpan;
pub use words::Words;

/// Chooses the model of calls whose client leaves the choice to the gateway: those that ask for one of these names, such as `auto`.
/// Calls for other models pass.
///
/// Each name has rules. The first whose conditions all hold decides, and the answer says which in `x-tollgate-rule`, as the ledger
/// does in `rule`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(pub BTreeMap<Box<str>, Router>);

/// What is chosen for one name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// How long a choice holds.
    #[serde(default)]
    pub pin: Pin,
    /// The rules. The first that holds decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// The model where no rule holds.
    pub otherwise: Box<str>,
    /// When a conversation moves to another model with its next call. The first that fits counts. Needs a `pin` other than `request`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<Escalation>,
}

/// How long a choice holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// For all calls of a conversation: those of one caller and session that begin with the same message of the user's.
    #[default]
    Conversation,
    /// For all calls of a session; for those of a conversation where the client names no session.
    Session,
    /// For the call alone.
    Request,
}

/// A model, and when it is chosen.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What `x-tollgate-rule` and the ledger call it. Absent: its number, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<RuleName>,
    /// The conditions, which all must hold.
    pub when: When,
    /// The model.
    pub model: Box<str>,
}

/// Conditions on a call. Those that are absent always hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// Its input in tokens, estimated from its text: `<400`, `>=2000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<Number>,
    /// The output that it allows, in tokens. Does not hold for a call that sets no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<Number>,
    /// Its turns: messages of the user that hold more than results of tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<Number>,
    /// Whether it offers tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// Whether a message holds an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<bool>,
    /// Whether a message holds a document or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<bool>,
    /// Whether it asks the model to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// Whether it asks for a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Words of the user's last text, any of which suffices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Words>,
    /// Words of the system prompt, any of which suffices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Words>,
    /// The script of most letters in the user's last text, or several, any of which suffices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<AnyOf<Script>>,
    /// Patterns of the tenant, any of which suffices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<AnyOf<Pattern>>,
    /// Patterns of the key's name, any of which suffices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<AnyOf<Pattern>>,
    /// Headers by name, and patterns of their values. All must be there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<HeaderKey, Pattern>,
    /// What the caller has spent of the budget that is nearest to its end: `>90%`. Does not hold for a caller without a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_used: Option<Percent>,
    /// The time of day, with a time zone if it is not UTC: `22:00-06:00 Europe/Berlin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeSpan>,
}

/// When a conversation moves to another model.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// What happened, any of which suffices.
    pub on: AnyOf<Trouble>,
    /// A pattern of the model to which it happened.
    #[serde(default = "any_model")]
    pub from: Pattern,
    /// The model for the calls that follow.
    pub to: Box<str>,
}

/// The model to which a conversation moves to whose model this happened, if it does.
pub(crate) fn escalation<'a>(escalations: &'a [Escalation], trouble: Trouble, model: &str) -> Option<&'a str> {
    let fits = |escalation: &&Escalation| escalation.on.values().contains(&trouble) && escalation.from.0.matches(model);
    escalations.iter().find(fits).map(|escalation| &*escalation.to).filter(|to| *to != model)
}

fn any_model() -> Pattern {
    Pattern(Glob::new("*"))
}

/// What can happen to a model that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It refused to answer (`stop_reason` or `finish_reason`).
    Refusal,
    /// The call does not fit into its context, or its answer did not.
    Context,
    /// It failed: a status of 500 or more, 429, or an error within the stream.
    Error,
}

impl Trouble {
    /// What chooses the model behind it, for `x-tollgate-rule`.
    pub(crate) fn rule(self) -> String {
        format!("escalated-{}", self.as_str())
    }

    /// The word for it in the YAML and in `x-tollgate-rule`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::Context => "context",
            Self::Error => "error",
        }
    }
}

impl FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Refusal, Self::Context, Self::Error].into_iter().find(|trouble| trouble.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is nothing to escalate on; wanted `refusal`, `context` or `error`"))
    }
}

impl Config {
    /// Checks what its types cannot.
    ///
    /// # Errors
    /// What makes no sense.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        if self.0.is_empty() {
            return Err("no name is given, so no call is routed; wanted a name such as `auto`".into());
        }
        for (name, router) in &self.0 {
            router.check(name, &self.0)?;
        }
        Ok(())
    }

    /// The models that it names.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|(name, router)| std::iter::once(&**name).chain(router.models()))
    }
}

impl Router {
    /// The models that may be chosen.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        let of_rules = self.rules.iter().map(|rule| &*rule.model);
        let escalated = self.escalate.iter().map(|escalation| &*escalation.to);
        of_rules.chain(escalated).chain(std::iter::once(&*self.otherwise))
    }

    fn check(&self, name: &str, routers: &BTreeMap<Box<str>, Self>) -> Result<(), ConfigProblem> {
        if name.is_empty() || self.models().any(str::is_empty) {
            return Err("a model has no name".into());
        }
        if let Some(again) = self.models().find(|model| routers.keys().any(|name| name.eq_ignore_ascii_case(model))) {
            return Err(format!("`{name}` may choose `{again}`, which is routed itself").into());
        }
        if self.pin == Pin::Request && !self.escalate.is_empty() {
            return Err(format!("`{name}` has `escalate` and `pin: request`, so there is nothing to move").into());
        }
        for (at, rule) in self.rules.iter().enumerate() {
            if let Some(rule_name) = &rule.name
                && self.rules[..at].iter().any(|earlier| earlier.name.as_ref() == Some(rule_name))
            {
                return Err(format!("two rules of `{name}` have the name `{}`", rule_name.as_str()).into());
            }
        }
        Ok(())
    }
}
