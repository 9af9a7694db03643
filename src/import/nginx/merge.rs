//! Makes few routes of many: those that differ in their paths or methods alone become one, where no route between them minds.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::path::Paths;
use super::route::{PathChange, Route, Takes, Target, Upstream};
use super::text::{Piece, Text};

/// The routes, as few as say the same.
pub(super) fn merged(routes: Vec<Route>) -> Vec<Route> {
    let mut all: Vec<Route> = Vec::with_capacity(routes.len());
    for route in routes {
        let target = all.iter().rposition(|earlier| joins(earlier, &route));
        match target {
            Some(at) if all[at + 1..].iter().all(|between| are_apart(&between.takes, &route.takes)) => {
                let earlier = &mut all[at].takes;
                extend(&mut earlier.paths, route.takes.paths);
                extend(&mut earlier.methods, route.takes.methods);
            }
            _ => all.push(route),
        }
    }
    all
}

fn extend(list: &mut Vec<String>, more: Vec<String>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

/// Whether two routes are one but for their paths, or but for their methods.
fn joins(one: &Route, other: &Route) -> bool {
    let differs_only_in_paths = || {
        let same = Takes { paths: one.takes.paths.clone(), ..other.takes.clone() };
        let has_groups = match &one.action.target {
            Target::Upstream { path_change, .. } => matches!(path_change, Some(PathChange::Rewrite(_))),
            Target::Redirect { location, .. } => names_groups(location),
            Target::Answer { .. } => false,
        };
        one.takes == same && !one.takes.paths.is_empty() && !other.takes.paths.is_empty() && !has_groups
    };
    let differs_only_in_methods = || {
        let same = Takes { methods: one.takes.methods.clone(), ..other.takes.clone() };
        one.takes == same && !one.takes.methods.is_empty() && !other.takes.methods.is_empty()
    };
    one.action == other.action && (differs_only_in_paths() || differs_only_in_methods())
}

/// Whether a template has a group of the route's expression, which is another one for another path.
fn names_groups(template: &str) -> bool {
    Text::parse(template).pieces().iter().any(Piece::is_group)
}

/// Whether no request is certain to be taken by both.
fn are_apart(one: &Takes, other: &Takes) -> bool {
    let apart = |one: &String, other: &String| {
        // an expression below a prefix is apart from what its prefix is apart from, and one alone from nothing
        let beginning = |path: &str| match Paths::of_pattern(path) {
            Paths::Exact(path) | Paths::Prefix(path) | Paths::Below { prefix: path, .. } => path,
            Paths::Any | Paths::Expression { .. } => String::new(),
        };
        let (one, other) = (beginning(one), beginning(other));
        !one.starts_with(&other) && !other.starts_with(&one)
    };
    let have_paths = !one.paths.is_empty() && !other.paths.is_empty();
    let by_paths = have_paths && one.paths.iter().all(|path| other.paths.iter().all(|other| apart(path, other)));
    let by_methods = !one.methods.is_empty()
        && !other.methods.is_empty()
        && !one.methods.iter().any(|method| other.methods.contains(method));
    by_paths || by_methods
}

/// Takes plugins that all routes have alike out of them.
pub(super) fn common_plugins(routes: &mut [Route]) -> Vec<Value> {
    let mut common = Vec::new();
    if routes.len() < 2 {
        return common;
    }
    while let Some(first) = routes[0].action.plugins.first().cloned() {
        // in the same order everywhere
        if !routes.iter().all(|route| route.action.plugins.first() == Some(&first)) {
            break;
        }
        for route in &mut *routes {
            route.action.plugins.remove(0);
        }
        common.push(json!({ first.0: first.1 }));
    }
    common
}

/// The upstreams by their names.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    named: IndexMap<String, Map<String, Value>>,
    /// The limits of time of the routes of each.
    timeouts: IndexMap<String, Vec<Map<String, Value>>>,
}

impl Upstreams {
    /// The ports of the servers that are at the loopback address.
    pub(super) fn ports_of_this_host(&self) -> impl Iterator<Item = u16> {
        let servers = self.named.values().filter_map(|settings| settings["servers"].as_array()).flatten();
        servers.filter_map(|server| {
            let address = server["address"].as_str()?;
            let address = address.strip_prefix("https://").unwrap_or(address);
            let (host, port) = address.rsplit_once(':')?;
            port.parse().ok().filter(|_| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
        })
    }

    /// The name of an upstream, which it gets here.
    pub(super) fn name(&mut self, upstream: Upstream) -> String {
        let Upstream { name, settings } = upstream;
        let mut number = 1;
        loop {
            let candidate = if number == 1 { name.clone() } else { format!("{name}-{number}") };
            match self.named.get(&candidate) {
                Some(known) if *known == settings => return candidate,
                Some(_) => number += 1,
                None => {
                    self.named.insert(candidate.clone(), settings);
                    return candidate;
                }
            }
        }
    }

    /// Gives upstreams the limits of time that all of their routes have, which need not say them then. `routes` are those of the YAML.
    pub(super) fn into_yaml(mut self, routes: &mut [Value]) -> Value {
        for route in &*routes {
            if let Some(name) = route["upstream"].as_str() {
                let timeouts = route["timeouts"].as_object().cloned().unwrap_or_default();
                self.timeouts.entry(name.to_owned()).or_default().push(timeouts);
            }
        }
        for (name, all) in &self.timeouts {
            let (Some(first), Some(settings)) = (all.first(), self.named.get_mut(name)) else { continue };
            if first.is_empty() || all.iter().any(|other| other != first) {
                continue;
            }
            settings.insert("timeouts".to_owned(), Value::Object(first.clone()));
            for route in routes.iter_mut().filter(|route| route["upstream"] == **name) {
                route.as_object_mut().map(|route| route.shift_remove("timeouts"));
            }
        }
        json!(self.named)
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::Action;
    use super::*;

    fn route(paths: &[&str], status: u16) -> Route {
        let takes = Takes { paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..Takes::default() };
        Route { takes, action: Action::answer(status) }
    }

    fn told(routes: Vec<Route>) -> Vec<String> {
        merged(routes).into_iter().map(|route| route.takes.paths.join(" ")).collect()
    }

    #[test]
    fn routes_that_differ_in_paths_alone_become_one_unless_one_between_minds() {
        assert_eq!(told(vec![route(&["/a"], 1), route(&["/b"], 2), route(&["/c"], 1)]), ["/a /c", "/b"]);
        assert_eq!(told(vec![route(&["/a/b"], 1), route(&["/a"], 2), route(&["/a/c"], 1)]), ["/a/b", "/a", "/a/c"]);
        assert_eq!(told(vec![route(&["/a"], 1), route(&["~ x"], 2), route(&["/c"], 1)]), ["/a", "~ x", "/c"]);
        assert_eq!(told(vec![route(&["/a"], 1), route(&[], 1)]), ["/a", ""]);
        let below = |path: &str| told(vec![route(&["= /health"], 1), route(&["/a/ ~ secret"], 2), route(&[path], 1)]);
        for path in ["/a/b", "/a", "/a/ ~ x", "= /a/secret"] {
            assert_eq!(below(path), ["= /health", "/a/ ~ secret", path]);
        }
        assert_eq!(below("/b"), ["= /health /b", "/a/ ~ secret"]);
    }
}
