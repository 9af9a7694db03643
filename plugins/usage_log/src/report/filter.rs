//! Which rows are summed up: those that say these words of who called, and what for.

use super::By;
use super::engine::Words;

/// What rows must say, each of the columns that sums are made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<(By, String)>);

impl Filter {
    /// Lets through only rows that say this.
    #[must_use]
    pub fn and(mut self, by: By, wanted: Option<String>) -> Self {
        self.0.extend(wanted.map(|wanted| (by, wanted)));
        self
    }

    /// Whether all rows pass.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The condition, empty where all rows pass.
    pub(super) fn condition(&self, words: &Words) -> String {
        let each = |(by, wanted): &(By, String)| format!("{} = {}", by.expression(words), (words.text)(wanted));
        let all = self.0.iter().map(each).collect::<Vec<_>>().join(" AND ");
        if all.is_empty() { all } else { format!("WHERE {all}") }
    }
}
