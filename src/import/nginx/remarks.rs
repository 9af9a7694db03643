//! What behaves otherwise than before, or wants a look: comments of the result.

/// The remarks, each once.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<String>);

impl Remarks {
    /// Adds one, unless it is there already.
    pub(super) fn add(&mut self, remark: String) {
        if !self.0.contains(&remark) {
            self.0.push(remark);
        }
    }

    /// All of them.
    pub(super) fn lines(&self) -> &[String] {
        &self.0
    }
}
