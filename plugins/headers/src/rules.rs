//! Changes to headers as they are made: values without variables are made once.

use plugin_api::http::{HeaderName, HeaderValue, StatusCode};
use plugin_api::{HeaderEdits, Variable, VariableTemplate, Variables};

use crate::settings::Changes;

/// The changes of one direction, in the order in which they are made.
#[derive(Debug)]
pub(crate) struct Rules(Box<[Rule]>);

#[derive(Debug)]
struct Rule {
    name: HeaderName,
    change: Change,
    /// Whether it holds for responses that are no errors alone.
    needs_success: bool,
}

#[derive(Debug)]
enum Change {
    Remove,
    Set(Value),
    Add(Value),
}

#[derive(Debug)]
enum Value {
    /// A text without variables; `None` if there is nothing in it.
    Constant(Option<HeaderValue>),
    Template(VariableTemplate),
}

impl Rules {
    /// These changes.
    pub(crate) fn new<V: AsRef<VariableTemplate>>(changes: &Changes<V>) -> Self {
        Self::of(&[(changes, false)])
    }

    /// Changes of all responses, and of those that are no errors.
    pub(crate) fn of_responses(all: &Changes<VariableTemplate>, success: &Changes<VariableTemplate>) -> Self {
        Self::of(&[(all, false), (success, true)])
    }

    fn of<V: AsRef<VariableTemplate>>(parts: &[(&Changes<V>, bool)]) -> Self {
        let rule = |name: &HeaderName, change, needs_success| Rule { name: name.clone(), change, needs_success };
        let mut rules = Vec::new();
        for (changes, success) in parts {
            rules.extend(changes.remove.iter().map(|name| rule(name.get(), Change::Remove, *success)));
        }
        for (changes, success) in parts {
            let set = changes.set.iter();
            rules.extend(set.map(|(name, value)| rule(name.get(), Change::Set(Value::new(value.as_ref())), *success)));
        }
        for (changes, success) in parts {
            for (name, values) in &changes.add {
                let values = values.0.iter().map(|value| Change::Add(Value::new(value.as_ref())));
                rules.extend(values.map(|change| rule(name.get(), change, *success)));
            }
        }
        Self(rules.into())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers that they change, each once.
    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let is_first = |(at, rule): &(usize, &Rule)| self.0[..*at].iter().all(|earlier| earlier.name != rule.name);
        self.0.iter().enumerate().filter(is_first).map(|(_, rule)| &rule.name)
    }

    /// Whether a value is read from the headers of the request.
    pub(crate) fn reads_headers(&self) -> bool {
        self.0.iter().any(|rule| match &rule.change {
            Change::Set(Value::Template(template)) | Change::Add(Value::Template(template)) => {
                template.variables().any(|variable| matches!(variable, Variable::Http(_) | Variable::Cookie(_)))
            }
            _ => false,
        })
    }

    /// Has them made.
    pub(crate) fn apply(&self, edits: &mut HeaderEdits, of: &Variables<'_>) {
        let is_success = of.response.is_some_and(|(status, _)| is_success(status));
        for Rule { name, change, needs_success } in &self.0 {
            if *needs_success && !is_success {
                continue;
            }
            match change {
                Change::Remove => edits.remove(name.clone()),
                Change::Set(value) => match value.of(of) {
                    Some(value) => edits.set(name.clone(), value),
                    None => edits.remove(name.clone()),
                },
                Change::Add(value) => {
                    if let Some(value) = value.of(of) {
                        edits.append(name.clone(), value);
                    }
                }
            }
        }
    }
}

/// Whether nginx's `add_header` holds for a status without `always`.
fn is_success(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 201 | 204 | 206 | 301..=304 | 307 | 308)
}

impl Value {
    fn new(template: &VariableTemplate) -> Self {
        match template.as_text() {
            Some(text) => Self::Constant(plugin_api::header_value(text.as_bytes().to_vec())),
            None => Self::Template(template.clone()),
        }
    }

    fn of(&self, variables: &Variables<'_>) -> Option<HeaderValue> {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Template(template) => template.header_value(variables),
        }
    }
}
