//! Changes to headers as they are made: values without variables are made once.

use plugin_api::http::{HeaderName, HeaderValue};
use plugin_api::{HeaderEdits, Variable, VariableTemplate, Variables};

use crate::settings::Changes;

/// The changes of one direction, in the order in which they are made.
#[derive(Debug)]
pub(crate) struct Rules(Box<[Rule]>);

#[derive(Debug)]
struct Rule {
    name: HeaderName,
    change: Change,
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
        let rule = |name: &HeaderName, change| Rule { name: name.clone(), change };
        let removed = changes.remove.iter().map(|name| rule(name.get(), Change::Remove));
        let set = changes.set.iter().map(|(name, value)| rule(name.get(), Change::Set(Value::new(value.as_ref()))));
        let added = changes.add.iter().flat_map(|(name, values)| {
            values.0.iter().map(move |value| rule(name.get(), Change::Add(Value::new(value.as_ref()))))
        });
        Self(removed.chain(set).chain(added).collect())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        for Rule { name, change } in &self.0 {
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
