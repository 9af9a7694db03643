//! The model names that may be labels: those of the configuration and of the price table. All other names, which clients and
//! upstreams choose, share the label `other`.

use ahash::AHashSet;
use glob::GlobMap;

/// The label of unknown models.
pub(super) const OTHER: &str = "other";

/// The models that a configuration knows.
#[derive(Debug)]
pub struct ModelNames {
    exact: AHashSet<Box<str>>,
    patterns: GlobMap<()>,
    priced: fn(&str) -> Option<&'static str>,
}

impl ModelNames {
    /// The names and patterns of a configuration, and the names that `priced` gives to models with a price.
    #[must_use]
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, priced: fn(&str) -> Option<&'static str>) -> Self {
        let (patterns, exact): (Vec<_>, Vec<_>) = names.partition(|name| name.contains(['*', '?']));
        Self {
            exact: exact.into_iter().map(Box::from).collect(),
            patterns: patterns.into_iter().map(|pattern| (pattern, ())).collect(),
            priced,
        }
    }

    /// The label for a model: its name, the name or the pattern by which it is known, or `other`.
    #[must_use]
    pub fn label<'a>(&'a self, model: &'a str) -> &'a str {
        if self.exact.contains(model) {
            return model;
        }
        let pattern = || self.patterns.get(model).map(|(pattern, ())| pattern.as_str());
        (self.priced)(model).or_else(pattern).unwrap_or(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_a_label() {
        let priced = |model: &str| model.starts_with("gpt-5").then_some("gpt-5");
        let known = ModelNames::new(["fast", "claude-*", "g?t-4"].into_iter(), priced);
        for (model, label) in [
            ("fast", "fast"),
            ("gpt-5-2025-08-07", "gpt-5"),
            ("claude-anything", "claude-*"),
            ("gpt-4", "g?t-4"),
            ("faster", "other"),
            ("", "other"),
        ] {
            assert_eq!(known.label(model), label, "{model}");
        }
    }
}
