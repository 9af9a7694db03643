//! What a caller may do: the models and routes it may use, and how much. Says it; who decides over a request asks.

use glob::Glob;

use crate::Quota;

/// What a caller may do. Shared by all callers who may do the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    /// The models it may ask for; `None`: any.
    pub models: Option<Box<[Glob]>>,
    /// The names of the routes it may use; `None`: any.
    pub routes: Option<Box<[Box<str>]>>,
    /// How much it may have.
    pub quota: Quota,
}

impl Grants {
    /// Whether it may ask for a model of this name.
    ///
    /// ```
    /// # use plugin_api::{Glob, Grants};
    /// let grants = Grants { models: Some([Glob::new("claude-*")].into()), ..Grants::default() };
    /// assert!(grants.allow_model("Claude-Opus-5") && !grants.allow_model("gpt-5"));
    /// ```
    #[must_use]
    pub fn allow_model(&self, name: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|pattern| pattern.matches(name)))
    }

    /// Whether it may use a route of this name.
    #[must_use]
    pub fn allow_route(&self, name: &str) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.iter().any(|route| **route == *name))
    }
}
