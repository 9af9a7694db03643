//! The names that may be asked for on a route: those for which a plugin chooses a model, those of its `models`, those of its own upstream, and what a caller's own grants name.

use std::collections::HashSet;

use plugin_api::{Glob, Grants, RouteModels};

use crate::settings::Config;

/// The models of a route's own upstream.
#[derive(Debug)]
pub(crate) struct Catalog {
    own: Option<Vec<Glob>>,
}

/// The names that any caller of a route may be told of, in their order, each once.
#[derive(Debug)]
pub(crate) struct Names(Vec<Box<str>>);

impl Catalog {
    /// The catalog of a route with these settings.
    pub(crate) fn new(config: &Config) -> Self {
        // the price table is read now, or the first answer would wait for it
        prices::published_names().next();
        let own = config.models.as_ref().map(|models| models.iter().map(|model| Glob::new(model)).collect());
        Self { own }
    }

    /// The names on a route with these `models`, for callers who speak this provider's API: first those that the YAML writes, then
    /// those of the price table that a pattern stands for.
    pub(crate) fn names(&self, models: &RouteModels, provider: &str) -> Names {
        let patterns = || models.rules().iter().map(|rule| &rule.pattern).chain(self.own.iter().flatten());
        let written = patterns().map(Glob::as_str).filter(|name| is_name(name));
        // without a word of the operator, a whole table would name what no upstream of the route has
        let by_provider = self.own.is_none() && models.is_empty();
        let published = prices::published_names().filter(|(of, _)| !by_provider || *of == provider);
        let mut published: Vec<&str> =
            published.map(|(_, name)| name).filter(|name| self.serves(models, name)).collect();
        published.sort_unstable();
        let mut seen = HashSet::new();
        Names(
            models.routed().chain(written).chain(published).filter(|name| seen.insert(*name)).map(Box::from).collect(),
        )
    }

    /// Whether a call for this model goes to an upstream that is known to have it.
    fn serves(&self, models: &RouteModels, name: &str) -> bool {
        let own = || match &self.own {
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
            None => models.is_empty(),
        };
        let is_routed = || models.routed().any(|routed| routed.eq_ignore_ascii_case(name));
        is_routed() || models.find(name).is_some() || own()
    }
}

impl Names {
    /// Those that a caller with these grants may ask for, with what the grants themselves name.
    pub(crate) fn for_caller<'a>(
        &'a self,
        catalog: &Catalog,
        models: &RouteModels,
        grants: Option<&'a Grants>,
    ) -> Vec<&'a str> {
        let all = self.0.iter().map(|name| &**name);
        let Some((grants, granted)) = grants.and_then(|grants| Some((grants, grants.models.as_ref()?))) else {
            return all.collect();
        };
        let mut names: Vec<&str> = all.filter(|name| grants.allow_model(name)).collect();
        for name in granted.iter().map(Glob::as_str) {
            if is_name(name) && !names.contains(&name) && catalog.serves(models, name) {
                names.push(name);
            }
        }
        names
    }
}

/// Whether a pattern is the name of one model.
fn is_name(pattern: &str) -> bool {
    !pattern.contains(['*', '?'])
}
