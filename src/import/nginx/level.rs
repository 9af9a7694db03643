//! The blocks around a place, and what they say there: what stands in an inner one counts instead of what stands in those around it.

use super::directive::Directive;

/// The blocks around a place, the outermost first.
#[derive(Clone, Debug)]
pub(super) struct Level<'t> {
    blocks: Vec<&'t [Directive]>,
    /// How many of them are around the location that the place belongs to.
    around: usize,
}

impl<'t> Level<'t> {
    /// The outermost one.
    pub(super) fn new(block: &'t [Directive]) -> Self {
        Self { blocks: vec![block], around: 0 }
    }

    /// The inside of a server or a location.
    pub(super) fn within(&self, block: &'t [Directive]) -> Self {
        let mut inner = self.clone();
        inner.around = inner.blocks.len();
        inner.blocks.push(block);
        inner
    }

    /// The inside of an `if`, which is a part of the same location.
    pub(super) fn within_if(&self, block: &'t [Directive]) -> Self {
        let mut inner = self.clone();
        inner.blocks.push(block);
        inner
    }

    /// Whether it is the inside of an `if`.
    pub(super) fn is_within_if(&self) -> bool {
        self.blocks.len() > self.around + 1
    }

    /// The directives of the innermost block.
    pub(super) fn own(&self) -> &'t [Directive] {
        self.blocks.last().copied().unwrap_or_default()
    }

    /// All directives of this name in the innermost block that has any.
    pub(super) fn all(&self, name: &str) -> Vec<&'t Directive> {
        self.find(name, 0)
    }

    /// The last directive of this name in the innermost block that has any.
    pub(super) fn last(&self, name: &str) -> Option<&'t Directive> {
        self.all(name).pop()
    }

    /// The same, of the location itself: what those around it have does not count.
    pub(super) fn last_own(&self, name: &str) -> Option<&'t Directive> {
        self.find(name, self.around).pop()
    }

    /// Every directive of the blocks around, the outermost first.
    pub(super) fn each(&self) -> impl Iterator<Item = &'t Directive> {
        self.blocks.iter().flat_map(|block| block.iter())
    }

    /// All directives whose names are like this.
    pub(super) fn all_by(&self, is_one: impl Fn(&str) -> bool) -> Vec<&'t Directive> {
        self.each().filter(|directive| is_one(&directive.name)).collect()
    }

    /// The first argument of the last directive of this name.
    pub(super) fn word(&self, name: &str) -> Option<&'t str> {
        self.last(name).map(Directive::first)
    }

    /// All directives of these names in the innermost block that has any of them, in their order.
    pub(super) fn innermost_with(&self, names: &[&str]) -> Vec<&'t Directive> {
        let is_one = |directive: &&Directive| names.contains(&directive.name.as_str());
        let mut found = Vec::new();
        for block in self.blocks.iter().rev() {
            let here: Vec<&Directive> = block.iter().filter(is_one).collect();
            for directive in &here {
                directive.done();
            }
            if found.is_empty() {
                found = here;
            }
        }
        found
    }

    fn find(&self, name: &str, from: usize) -> Vec<&'t Directive> {
        let mut found = Vec::new();
        // what an inner block replaces needs no mention
        for block in self.blocks[from..].iter().rev() {
            let here: Vec<&Directive> = block.iter().filter(|directive| directive.name == name).collect();
            for directive in &here {
                directive.done();
            }
            if found.is_empty() {
                found = here;
            }
        }
        found
    }
}
