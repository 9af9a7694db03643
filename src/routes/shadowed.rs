//! Routes that no request reaches, or not by all of their hosts and paths: an earlier route takes all that they could take.

use super::host::HostPattern;
use super::index::Index;
use super::path::PathPattern;
use super::settings::RouteSettings;

/// A part of a route that no request reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// The route.
    pub route: usize,
    /// The part of it.
    pub part: RoutePart,
    /// The route before it that takes all of that; the last of them, where it takes several.
    pub by: usize,
}

/// A part of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutePart {
    /// All of it.
    Whole,
    /// One of its hosts, by its place among them.
    Host(usize),
    /// One of its paths.
    Path(usize),
}

impl Shadowed {
    /// Whether nothing reaches the route.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.part == RoutePart::Whole
    }
}

/// Stands for any host and for any path.
const ANY: [Option<usize>; 1] = [None];

/// What no request reaches of these routes.
#[must_use]
pub fn shadowed(routes: &[&RouteSettings]) -> Vec<Shadowed> {
    let index = Index::new(
        routes
            .iter()
            .map(|route| (route.hosts.iter().map(|host| &host.value), route.paths.iter().map(|path| &path.value))),
    );
    let mut found = Vec::new();
    for (route, settings) in routes.iter().enumerate() {
        // a route without hosts has one for all of them, and so with paths
        let hosts = places(settings.hosts.len());
        let paths = places(settings.paths.len());
        let by = |host: Option<usize>, path: Option<usize>| {
            let host = host.map(|at| &settings.hosts[at].value);
            let path = path.map(|at| &settings.paths[at].value);
            covering(routes, &index, route, host, path)
        };
        let of_host = |host: Option<usize>| all(paths.iter().map(|path| by(host, *path)));
        let of_path = |path: Option<usize>| all(hosts.iter().map(|host| by(*host, path)));
        if let Some(by) = all(hosts.iter().map(|host| of_host(*host))) {
            found.push(Shadowed { route, part: RoutePart::Whole, by });
            continue;
        }
        let part = |part, by: Option<usize>| by.map(|by| Shadowed { route, part, by });
        found.extend(hosts.iter().flatten().filter_map(|host| part(RoutePart::Host(*host), of_host(Some(*host)))));
        found.extend(paths.iter().flatten().filter_map(|path| part(RoutePart::Path(*path), of_path(Some(*path)))));
    }
    found
}

fn places(count: usize) -> Vec<Option<usize>> {
    if count == 0 { ANY.to_vec() } else { (0..count).map(Some).collect() }
}

/// The last route, if each part has one.
fn all(mut parts: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    parts.try_fold(0, |last: usize, by| by.map(|by| last.max(by)))
}

/// The first route before this one that takes all requests to this host and path that this one takes.
fn covering(
    routes: &[&RouteSettings],
    index: &Index,
    route: usize,
    host: Option<&HostPattern>,
    path: Option<&PathPattern>,
) -> Option<usize> {
    let sample_host = host.map(|host| String::from(host.clone())).unwrap_or_default();
    // what takes all paths takes `/`, and so does what takes all that an expression takes which is for all paths
    let sample_path = path.map_or("/", PathPattern::sample);
    let takes_all = |earlier: &usize| {
        let (earlier, settings) = (routes[*earlier], routes[route]);
        let of_host =
            earlier.hosts.is_empty() || host.is_some_and(|host| earlier.hosts.iter().any(|own| own.covers(host)));
        let of_path = earlier.paths.is_empty()
            || earlier.paths.iter().any(|own| path.map_or(own.takes_all(), |path| own.covers(path)));
        of_host && of_path && earlier.conditions.cover(&settings.conditions)
    };
    index.candidates(&sample_host, sample_path).take_while(|earlier| *earlier < route).find(takes_all)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(list: Value) -> Vec<(usize, RoutePart, usize)> {
        let routes: Vec<RouteSettings> = serde_json::from_value(list).unwrap();
        let found = shadowed(&routes.iter().collect::<Vec<_>>());
        found.into_iter().map(|found| (found.route, found.part, found.by)).collect()
    }

    #[test]
    fn a_route_is_out_of_reach_behind_one_that_takes_all_of_its_requests() {
        let whole = |first: Value, second: Value| found(json!([first, second])) == [(1, RoutePart::Whole, 0)];
        let route = |mut route: Value| {
            route["upstream"] = "a".into();
            route
        };
        for (first, second) in [
            (json!({}), json!({ "paths": ["/v1/"] })),
            (json!({ "paths": ["/v1"] }), json!({ "paths": ["/v1/messages", "= /v1"] })),
            (json!({ "paths": ["/"] }), json!({})),
            (json!({ "paths": ["/"] }), json!({ "paths": ["~ ^/x"] })),
            (json!({ "hosts": ["*.b"] }), json!({ "hosts": ["a.b", "*.a.b"] })),
            (json!({ "methods": ["GET", "POST"] }), json!({ "methods": ["POST"], "scheme": "https" })),
            (json!({ "headers": { "x-a": "*" } }), json!({ "headers": { "x-a": "1", "x-b": "2" } })),
            (json!({ "listeners": ["1.1.1.1:1", "1.1.1.1:2"] }), json!({ "listeners": ["1.1.1.1:2"] })),
            (json!({ "paths": ["~ ^/a"] }), json!({ "paths": ["~ ^/a"] })),
        ] {
            assert!(whole(route(first.clone()), route(second.clone())), "{first} {second}");
        }
        for (first, second) in [
            (json!({ "paths": ["/v1/"] }), json!({ "paths": ["/v1"] })),
            (json!({ "hosts": ["a.b"] }), json!({ "hosts": ["*.b"] })),
            (json!({ "hosts": ["a.b"] }), json!({})),
            (json!({ "methods": ["POST"] }), json!({})),
            (json!({ "query": { "q": "1" } }), json!({ "query": { "q": "*" } })),
            (json!({ "scheme": "http" }), json!({ "scheme": "https" })),
            (json!({ "paths": ["~ ^/a"] }), json!({ "paths": ["~ ^/ab"] })),
        ] {
            assert!(!whole(route(first.clone()), route(second.clone())), "{first} {second}");
        }
    }

    #[test]
    fn a_host_or_a_path_of_a_route_can_be_out_of_reach_alone() {
        let list = json!([
            { "hosts": ["a.b"], "upstream": "x" },
            { "paths": ["/v1/"], "upstream": "x" },
            { "hosts": ["a.b", "c.b"], "paths": ["/v1/messages", "/health"], "upstream": "x" },
            { "hosts": ["a.b", "c.b"], "paths": ["/v1/x"], "upstream": "x" },
        ]);
        assert_eq!(found(list), [(2, RoutePart::Host(0), 0), (2, RoutePart::Path(0), 1), (3, RoutePart::Whole, 1)]);
    }
}
