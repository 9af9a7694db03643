//! Which limit a call is held to, by the models that it names.

use glob::{GlobMap, Unreachable};
use indexmap::IndexMap;
use plugin_api::CallFacts;

/// The limits: by model, and for the rest.
#[derive(Debug)]
pub(crate) struct Limits {
    models: GlobMap<u64>,
    others: Option<u64>,
    lowest: Option<u64>,
}

impl Limits {
    /// # Errors
    /// Which pattern can never apply.
    pub(crate) fn new(models: &IndexMap<String, u64>, others: Option<u64>) -> Result<Self, String> {
        let models: GlobMap<u64> = models.iter().map(|(pattern, limit)| (pattern, *limit)).collect();
        match models.unreachable() {
            Some(Unreachable::Empty) => return Err("`models` has an empty pattern, which fits no model".into()),
            Some(Unreachable::Covered { pattern, by }) => {
                return Err(format!("`models` never comes to `{pattern}`: `{by}` above it fits the same models"));
            }
            None => {}
        }
        let lowest = models.values().copied().chain(others).min();
        Ok(Self { models, others, lowest })
    }

    /// The most tokens that a call may ask for; `None` if it is free.
    ///
    /// A server may take any of the models that the call names for the one that is meant, and one of its own
    /// where it names none: the lowest of the limits that may apply, then, is the one that does.
    pub(crate) fn of(&self, call: &CallFacts) -> Option<u64> {
        let named = std::iter::once(&call.model).chain(&call.other_models);
        named.filter_map(|model| model.as_deref().map_or(self.lowest, |model| self.of_model(model))).min()
    }

    fn of_model(&self, model: &str) -> Option<u64> {
        self.models.get(model).map(|(_, limit)| *limit).or(self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(models: &[(&str, u64)], others: Option<u64>) -> Result<Limits, String> {
        Limits::new(&models.iter().map(|(glob, limit)| ((*glob).to_owned(), *limit)).collect(), others)
    }

    fn call(model: Option<&str>, other_models: &[Option<&str>]) -> CallFacts {
        let owned = |model: Option<&str>| model.map(str::to_owned);
        CallFacts {
            model: owned(model),
            other_models: other_models.iter().copied().map(owned).collect(),
            ..CallFacts::default()
        }
    }

    #[test]
    fn the_first_pattern_that_fits_counts_and_the_rest_have_the_limit() {
        let limits = limits(&[("claude-opus-5", 900), ("claude-opus-*", 100), ("gpt-*", 8000)], Some(4000)).unwrap();
        for (model, limit) in [("claude-opus-5", 900), ("claude-opus-4", 100), ("gpt-5", 8000), ("llama", 4000)] {
            assert_eq!(limits.of(&call(Some(model), &[])), Some(limit), "{model}");
        }
    }

    #[test]
    fn without_a_limit_only_the_models_named_are_held_to_one() {
        let limits = limits(&[("claude-*", 100)], None).unwrap();
        assert_eq!(limits.of(&call(Some("gpt-5"), &[])), None);
        assert_eq!(limits.of(&call(Some("claude-opus-5"), &[])), Some(100));
    }

    #[test]
    fn no_second_model_and_no_missing_one_raises_the_limit() {
        let limits = limits(&[("small", 8000), ("big", 100)], None).unwrap();
        for (model, others, limit) in [
            (None, &[][..], Some(100)),
            (Some("small"), &[Some("big")][..], Some(100)),
            (Some("big"), &[Some("small")][..], Some(100)),
            (Some("free"), &[Some("small")][..], Some(8000)),
            (Some("free"), &[None][..], Some(100)),
            (Some("free"), &[Some("free too")][..], None),
        ] {
            assert_eq!(limits.of(&call(model, others)), limit, "{model:?} {others:?}");
        }
    }

    #[test]
    fn a_pattern_that_can_never_apply_is_an_error() {
        assert!(limits(&[("", 1)], None).unwrap_err().contains("empty pattern"));
        let error = limits(&[("claude-*", 1), ("claude-opus-*", 2)], None).unwrap_err();
        assert!(error.contains("`claude-opus-*`") && error.contains("`claude-*` above it"), "{error}");
    }
}
