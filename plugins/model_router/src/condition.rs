//! One condition of a rule, held against what is known of a call: it holds, it does not, or it cannot be known.

use std::fmt;

use plugin_api::{CallFacts, Principal};

use crate::facts::Facts;
use crate::script::Script;
use crate::settings::{AnyOf, Pattern, When};

/// What the conditions of a call are read from. What is `None` is not known: of a call that comes, everything is; of one that only has a
/// row in the ledger, little.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) tools: Option<bool>,
    pub(crate) stream: Option<bool>,
    pub(crate) images: Option<bool>,
    pub(crate) documents: Option<bool>,
    pub(crate) thinking: Option<bool>,
    pub(crate) turns: Option<u64>,
    pub(crate) input_tokens: Option<u64>,
    /// The most output that it allows; within, `None` where it sets no limit.
    pub(crate) max_tokens: Option<Option<u64>>,
    pub(crate) caller: Option<CallerNames<'a>>,
    /// The headers that conditions are on, by name.
    pub(crate) headers: Option<&'a [(Box<str>, Box<str>)]>,
    /// What the caller has spent of the budget that is nearest to its end; 1 is all of it. Within, `None` without a budget.
    pub(crate) budget_used: Option<Option<f64>>,
    /// Seconds since 1970, UTC.
    pub(crate) unix: Option<i64>,
    pub(crate) script: Option<Option<Script>>,
    /// The user's last text.
    pub(crate) text: Option<&'a str>,
    /// The system prompt.
    pub(crate) system: Option<&'a str>,
}

/// Who calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallerNames<'a> {
    pub(crate) tenant: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
}

impl<'a> CallerNames<'a> {
    pub(crate) fn of(principal: &'a Principal) -> Self {
        Self { tenant: principal.tenant.as_deref(), key: principal.key_name.as_deref() }
    }
}

impl<'a> Subject<'a> {
    /// What the call itself says.
    pub(crate) fn of_call(call: &CallFacts, facts: &'a Facts) -> Self {
        Self {
            tools: Some(call.tools),
            stream: Some(call.stream),
            images: Some(facts.images),
            documents: Some(facts.documents),
            thinking: Some(facts.thinking),
            turns: Some(facts.turns),
            input_tokens: Some(facts.input_tokens),
            max_tokens: Some(call.most_tokens()),
            script: Some(facts.script),
            text: Some(&facts.last_user),
            system: Some(&facts.system),
            ..Self::default()
        }
    }

    fn has_header(&self, name: &str, Pattern(glob): &Pattern) -> Option<bool> {
        let headers = self.headers?;
        Some(headers.iter().any(|(known, value)| **known == *name && glob.matches(value)))
    }
}

/// What a condition is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    Tools,
    Stream,
    Images,
    Documents,
    Thinking,
    Turns,
    InputTokens,
    MaxTokens,
    Tenant,
    Key,
    Headers,
    BudgetUsed,
    Time,
    Script,
    Text,
    System,
}

impl Condition {
    /// All of them, those that are looked up before those for which texts are read.
    pub(crate) const ALL: [Self; 16] = [
        Self::Tools,
        Self::Stream,
        Self::Images,
        Self::Documents,
        Self::Thinking,
        Self::Turns,
        Self::InputTokens,
        Self::MaxTokens,
        Self::Tenant,
        Self::Key,
        Self::Headers,
        Self::BudgetUsed,
        Self::Time,
        Self::Script,
        Self::Text,
        Self::System,
    ];

    /// Its key in the YAML.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Stream => "stream",
            Self::Images => "images",
            Self::Documents => "documents",
            Self::Thinking => "thinking",
            Self::Turns => "turns",
            Self::InputTokens => "input_tokens",
            Self::MaxTokens => "max_tokens",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Headers => "headers",
            Self::BudgetUsed => "budget_used",
            Self::Time => "time",
            Self::Script => "script",
            Self::Text => "text",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the conditions of a rule come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All hold.
    Hold,
    /// This one does not, the first of those.
    Fails(Condition),
    /// None fails for certain, and this one cannot be known, the first of those.
    Unknown(Condition),
}

impl When {
    /// What they come to for a call.
    pub(crate) fn judge(&self, subject: &Subject<'_>) -> Verdict {
        let mut verdict = Verdict::Hold;
        for condition in Condition::ALL {
            match self.test(condition, subject) {
                Some(true) => {}
                Some(false) => return Verdict::Fails(condition),
                None if verdict == Verdict::Hold => verdict = Verdict::Unknown(condition),
                None => {}
            }
        }
        verdict
    }

    /// Whether one holds, which it does where it is not set; `None` where it cannot be known.
    fn test(&self, condition: Condition, subject: &Subject<'_>) -> Option<bool> {
        let is = |wanted: Option<bool>, is: Option<bool>| match wanted {
            None => Some(true),
            Some(wanted) => Some(is? == wanted),
        };
        match condition {
            Condition::Tools => is(self.tools, subject.tools),
            Condition::Stream => is(self.stream, subject.stream),
            Condition::Images => is(self.images, subject.images),
            Condition::Documents => is(self.documents, subject.documents),
            Condition::Thinking => is(self.thinking, subject.thinking),
            Condition::Turns => set(self.turns, |turns| Some(turns.holds(subject.turns?))),
            Condition::InputTokens => set(self.input_tokens, |tokens| Some(tokens.holds(subject.input_tokens?))),
            Condition::MaxTokens => {
                set(self.max_tokens, |tokens| Some(subject.max_tokens?.is_some_and(|most| tokens.holds(most))))
            }
            Condition::Tenant => set(self.tenant.as_ref(), |any| Some(fits(any, subject.caller?.tenant))),
            Condition::Key => set(self.key.as_ref(), |any| Some(fits(any, subject.caller?.key))),
            Condition::Headers => {
                let mut unknown = false;
                for (name, pattern) in &self.headers {
                    match subject.has_header(name.as_str(), pattern) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => unknown = true,
                    }
                }
                (!unknown).then_some(true)
            }
            Condition::BudgetUsed => {
                set(self.budget_used, |share| Some(subject.budget_used?.is_some_and(|used| share.holds(used))))
            }
            Condition::Time => set(self.time, |time| Some(time.holds(subject.unix?))),
            Condition::Script => set(self.script.as_ref(), |any| {
                Some(subject.script?.is_some_and(|script| any.values().contains(&script)))
            }),
            Condition::Text => set(self.text.as_ref(), |words| Some(words.are_in(subject.text?))),
            Condition::System => set(self.system.as_ref(), |words| Some(words.are_in(subject.system?))),
        }
    }
}

/// A condition that always holds where it is not set.
fn set<T>(condition: Option<T>, test: impl FnOnce(T) -> Option<bool>) -> Option<bool> {
    condition.map_or(Some(true), test)
}

/// Whether one of the patterns fits a name that is there.
fn fits(any: &AnyOf<Pattern>, name: Option<&str>) -> bool {
    name.is_some_and(|name| any.values().iter().any(|Pattern(glob)| glob.matches(name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn when(conditions: serde_json::Value) -> When {
        serde_json::from_value(conditions).unwrap()
    }

    #[test]
    fn what_is_not_known_decides_nothing_unless_another_condition_fails() {
        let when = when(json!({ "tools": true, "input_tokens": "<400", "tenant": "team-*" }));
        let known = Subject { input_tokens: Some(100), ..Subject::default() };
        assert_eq!(when.judge(&known), Verdict::Unknown(Condition::Tools));
        let long = Subject { input_tokens: Some(400), ..known };
        assert_eq!(when.judge(&long), Verdict::Fails(Condition::InputTokens));
        let caller = Some(CallerNames { tenant: Some("team-a"), key: None });
        let all = Subject { tools: Some(true), caller, ..known };
        assert_eq!(when.judge(&all), Verdict::Hold);
        let nobody = Subject { caller: Some(CallerNames::default()), ..all };
        assert_eq!(when.judge(&nobody), Verdict::Fails(Condition::Tenant));
    }

    #[test]
    fn every_condition_is_judged_and_has_its_key() {
        let schema = schemars::schema_for!(When).to_value();
        let mut keys: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut all = Condition::ALL.map(Condition::as_str);
        all.sort_unstable();
        assert_eq!(keys, all);
        for (key, condition) in [
            ("tools", json!(true)),
            ("stream", json!(true)),
            ("images", json!(true)),
            ("documents", json!(true)),
            ("thinking", json!(true)),
            ("turns", json!(1)),
            ("input_tokens", json!(1)),
            ("max_tokens", json!(1)),
            ("tenant", json!("a")),
            ("key", json!("a")),
            ("headers", json!({ "a": "b" })),
            ("budget_used", json!(">1%")),
            ("time", json!("01:00-02:00")),
            ("script", json!("latin")),
            ("text", json!("a")),
            ("system", json!("a")),
        ] {
            let verdict = when(json!({ key: condition })).judge(&Subject::default());
            assert!(matches!(verdict, Verdict::Unknown(of) if of.as_str() == key), "{key}: {verdict:?}");
        }
        assert_eq!(when(json!({})).judge(&Subject::default()), Verdict::Hold);
    }
}
