//! Filters by who called and what was asked for, on rows or on their sums. A text is compared exactly; an empty one with what does not know.

use super::parameters::Parameters;
use crate::rollup::Dialect;

/// Conditions, each of which holds.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<String>);

impl Filter {
    pub(super) fn and(&mut self, condition: String) {
        self.0.push(condition);
    }

    /// Takes these parameters, each compared with an expression.
    pub(super) fn take(&mut self, parameters: &mut Parameters, dialect: &Dialect, names: &[(&str, &str)]) {
        for (name, expression) in names {
            match parameters.text(name) {
                None => {}
                Some(text) if text.is_empty() => self.and(format!("{expression} IS NULL")),
                Some(text) => self.and(format!("{expression} = {}", (dialect.text)(&text))),
            }
        }
    }

    /// What follows other conditions.
    pub(super) fn sql(&self) -> String {
        self.0.iter().map(|condition| format!(" AND {condition}")).collect()
    }
}
