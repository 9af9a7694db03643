//! The secrets of a file, which become variables of the environment: they are never repeated.

use super::LeftOut;

/// The secrets so far.
#[derive(Debug)]
pub(super) struct Secrets {
    /// What the names of their variables begin with.
    prefix: &'static str,
    /// Those that the file has itself, in the order of their variables.
    literal: Vec<String>,
}

impl Secrets {
    /// None yet.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, literal: Vec::new() }
    }

    /// A secret as the YAML refers to it: by a variable made up for it.
    pub(super) fn reference(&mut self, value: &str) -> String {
        let at = self.literal.iter().position(|known| known == value).unwrap_or_else(|| {
            self.literal.push(value.to_owned());
            self.literal.len() - 1
        });
        format!("${{{}}}", self.name(at))
    }

    /// Says which variables must be set.
    pub(super) fn say(&self, left_out: &mut LeftOut) {
        for at in 0..self.literal.len() {
            left_out.add(&self.name(at), "the file has a secret itself; set this variable to it");
        }
    }

    fn name(&self, at: usize) -> String {
        format!("{}_SECRET_{}", self.prefix, at + 1)
    }
}
