//! What of a file has no counterpart, a line each.

/// The lines so far, each once.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Vec<String>);

impl LeftOut {
    /// Adds what stands at a place of the file, and why it was left out.
    pub(super) fn add(&mut self, place: &str, why: &str) {
        let line = format!("{place}: {why}");
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    /// All lines.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.0
    }
}
