//! What the router says of a call for `tollgate explain`: each rule, and the fact by which it holds or does not.

use plugin_api::Explanation;

use crate::choice::Choice;
use crate::condition::{Condition, Subject, Verdict};
use crate::settings::{Escalation, Pin, Router, When};

/// The longest text that is repeated, in characters.
const LONGEST: usize = 60;

/// Says what every rule comes to, and what the choice depends on.
pub(crate) fn rules(router: &Router, subject: &Subject<'_>, choice: &Choice<'_>, explanation: &mut Explanation) {
    for (place, rule) in router.rules.iter().enumerate() {
        let name = router.rule_name(Some(place));
        let model = &rule.model;
        if choice.rule.is_some_and(|chosen| place > chosen) {
            explanation.say(format!("rule {name} ({model}) is not asked"));
            continue;
        }
        let said = match rule.when.judge(subject) {
            Verdict::Hold => format!("rule {name} ({model}) holds: {}", all(&rule.when, subject)),
            Verdict::Fails(condition) => {
                format!("rule {name} ({model}) does not hold: {}", fact(condition, &rule.when, subject))
            }
            Verdict::Unknown(condition) => {
                explanation.depends_on(format!("`{condition}` of rule {name}, which would choose {model}"));
                format!("rule {name} ({model}) is passed over: {}", fact(condition, &rule.when, subject))
            }
        };
        explanation.say(said);
    }
    if choice.rule.is_none() {
        explanation.say("no rule holds, so `otherwise` decides".to_owned());
    }
}

/// Says how long the choice holds.
pub(crate) fn pin(pin: Pin, has_session: bool, escalations: &[Escalation], explanation: &mut Explanation) {
    let whose = match pin {
        Pin::Request => {
            explanation.say("the choice holds for this call alone");
            return;
        }
        Pin::Session if has_session => "session",
        Pin::Session | Pin::Conversation => "conversation",
    };
    explanation.say(format!("its {whose} keeps the model"));
    explanation.depends_on(format!("whether its {whose} has a model already, which it keeps"));
    for Escalation { on, from, to } in escalations {
        let on: Vec<_> = on.values().iter().map(|trouble| trouble.as_str()).collect();
        explanation.say(format!("it moves from {} to {to} on {}", from.0.as_str(), on.join(" or ")));
    }
}

/// The conditions that a rule has, and the facts.
fn all(when: &When, subject: &Subject<'_>) -> String {
    let facts: Vec<_> =
        Condition::ALL.into_iter().filter(|of| wanted(*of, when).is_some()).map(|of| fact(of, when, subject)).collect();
    if facts.is_empty() { "it has no condition".to_owned() } else { facts.join(", ") }
}

/// A condition, and the fact: `` `input_tokens` is 1200, wanted <400``.
fn fact(condition: Condition, when: &When, subject: &Subject<'_>) -> String {
    let wanted = wanted(condition, when).unwrap_or_default();
    match known(condition, when, subject) {
        Some(known) => format!("`{condition}` is {known}, wanted {wanted}"),
        None => format!("`{condition}` is not known here, wanted {wanted}"),
    }
}

/// What a condition asks for, where it is set.
fn wanted(condition: Condition, when: &When) -> Option<String> {
    let written = serde_json::to_value(when).ok()?;
    Some(match written.get(condition.as_str())? {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(any) => {
            let texts: Vec<_> =
                any.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), quoted)).collect();
            texts.join(" or ")
        }
        other => other.to_string(),
    })
}

/// What is known of it.
fn known(condition: Condition, when: &When, subject: &Subject<'_>) -> Option<String> {
    let name = |name: Option<&str>| name.map_or_else(|| "not set".to_owned(), |name| name.to_owned());
    Some(match condition {
        Condition::Tools => subject.tools?.to_string(),
        Condition::Stream => subject.stream?.to_string(),
        Condition::Images => subject.images?.to_string(),
        Condition::Documents => subject.documents?.to_string(),
        Condition::Thinking => subject.thinking?.to_string(),
        Condition::Turns => subject.turns?.to_string(),
        Condition::InputTokens => subject.input_tokens?.to_string(),
        Condition::MaxTokens => subject.max_tokens?.map_or_else(|| "not set".to_owned(), |most| most.to_string()),
        Condition::Tenant => name(subject.caller?.tenant),
        Condition::Key => name(subject.caller?.key),
        Condition::Headers => {
            let headers = subject.headers?;
            let wanted: Vec<_> = when.headers.keys().collect();
            let has = headers.iter().filter(|(name, _)| wanted.iter().any(|wanted| wanted.as_str() == &**name));
            let shown: Vec<_> = has.map(|(name, value)| header(name, value)).collect();
            if shown.is_empty() { "not sent".to_owned() } else { shown.join(", ") }
        }
        Condition::BudgetUsed => {
            subject.budget_used?.map_or_else(|| "not set".to_owned(), |used| format!("{:.1}%", used * 100.0))
        }
        Condition::Time => format!("{:02}:{:02} UTC", subject.unix? / 3600 % 24, subject.unix? / 60 % 60),
        Condition::Script => subject
            .script?
            .and_then(|script| serde_json::to_value(script).ok()?.as_str().map(str::to_owned))
            .unwrap_or_else(|| "none".to_owned()),
        Condition::Text => quoted(subject.text?),
        Condition::System => quoted(subject.system?),
    })
}

fn header(name: &str, value: &str) -> String {
    let value = if plugin_api::is_credential(name) { "***" } else { value };
    format!("{name}: {value}")
}

/// The beginning of a text in quotation marks, on one line.
fn quoted(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let beginning: String = chars.by_ref().take(LONGEST).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("\"{beginning}{more}\"")
}
