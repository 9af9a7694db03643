//! Finds the route of a request by host and path. Does not know the routes' targets.

mod models;
mod settings;

use std::sync::Arc;

pub use models::{ModelEntry, ModelName, ModelPattern};
pub use settings::{HostPattern, OnClientDisconnect, PathPattern, RouteSettings};
pub use url_path::{InvalidPath, normalize};

/// The host label of requests to hosts that no route names: what a client sends must not become a label.
pub const OTHER_HOST: &str = "other";

/// The routes in the order of the YAML.
#[derive(Debug)]
pub struct Router {
    routes: Vec<Pattern>,
    other: Arc<str>,
}

/// The requests that a route matches.
#[derive(Debug)]
struct Pattern {
    hosts: Vec<(HostPattern, Arc<str>)>,
    paths: Vec<PathPattern>,
}

/// A matching route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// Its index in the YAML.
    pub index: usize,
    /// The host as written in the YAML, or [`OTHER_HOST`].
    pub domain: Arc<str>,
}

impl Router {
    /// Creates a router over these routes.
    #[must_use]
    pub fn new<'a>(routes: impl Iterator<Item = &'a RouteSettings>) -> Self {
        let pattern = |route: &RouteSettings| Pattern {
            hosts: route.hosts.iter().map(|host| (host.clone(), String::from(host.clone()).into())).collect(),
            paths: route.paths.clone(),
        };
        Self { routes: routes.map(pattern).collect(), other: OTHER_HOST.into() }
    }

    /// The first route that matches this host (without port, in any case) and path (in its [normal form](normalize)).
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<RouteMatch> {
        self.routes.iter().enumerate().find_map(|(index, route)| {
            let domain = route.domain(host, &self.other)?;
            let takes_path = route.paths.is_empty() || route.paths.iter().any(|pattern| pattern.takes(path));
            takes_path.then(|| RouteMatch { index, domain: domain.clone() })
        })
    }

    /// The label of a request that no route matches.
    #[must_use]
    pub fn other(&self) -> &Arc<str> {
        &self.other
    }
}

impl Pattern {
    fn domain<'a>(&'a self, host: &str, other: &'a Arc<str>) -> Option<&'a Arc<str>> {
        if self.hosts.is_empty() {
            return Some(other);
        }
        self.hosts.iter().find(|(pattern, _)| pattern.takes(host)).map(|(_, domain)| domain)
    }
}

/// The host of an authority: without its port, and without the dot at the end of an absolute name.
#[must_use]
pub fn host_of(authority: &str) -> &str {
    // the colons of an IPv6 address are within brackets
    let end = if authority.starts_with('[') {
        authority.find(']').map(|end| end + 1)
    } else {
        authority.bytes().position(|byte| byte == b':')
    };
    let host = end.map_or(authority, |end| &authority[..end]);
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: serde_json::Value) -> Router {
        let routes: Vec<RouteSettings> = serde_json::from_value(routes).unwrap();
        Router::new(routes.iter())
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let router = router(serde_json::json!([
            { "hosts": ["a.example"], "paths": ["/v1/messages"], "upstream": "x" },
            { "hosts": ["a.example", "*.b.example"], "upstream": "x" },
            { "paths": ["/health"], "upstream": "x" },
        ]));
        for (host, path, index, domain) in [
            ("a.example", "/v1/messages", 0, "a.example"),
            ("A.Example", "/v1/messages/batches", 0, "a.example"),
            ("a.example", "/v1/models", 1, "a.example"),
            ("x.y.b.example", "/", 1, "*.b.example"),
            ("elsewhere", "/health", 2, "other"),
        ] {
            let found = router.find(host, path).unwrap();
            assert_eq!((found.index, &*found.domain), (index, domain), "{host}{path}");
        }
        for (host, path) in [("b.example", "/"), ("evilb.example", "/"), ("", "/"), ("a.example.evil", "/v1/")] {
            assert_eq!(router.find(host, path), None, "{host}{path}");
        }
    }

    #[test]
    fn a_path_is_taken_as_it_is_or_with_all_that_begins_so() {
        let router = router(serde_json::json!([
            { "paths": ["= /health"], "upstream": "x" },
            { "paths": ["/v1/messages"], "upstream": "x" },
            { "paths": ["/below/"], "upstream": "x" },
        ]));
        for (path, index) in [
            ("/health", Some(0)),
            ("/health/", None),
            ("/healthy", None),
            ("/v1/messages", Some(1)),
            ("/v1/messages/", Some(1)),
            ("/v1/messagesX", Some(1)),
            ("/below", None),
            ("/below/", Some(2)),
            ("/below/x", Some(2)),
            ("/V1/messages", None),
        ] {
            assert_eq!(router.find("", path).map(|found| found.index), index, "{path}");
        }
    }

    #[test]
    fn a_path_that_no_request_can_have_is_an_error() {
        for (written, wanted) in [
            ("/v1//x", "write `/v1/x`"),
            ("= /v1/./x", "write `= /v1/x`"),
            ("/v1/x/..", "write `/v1/`"),
            ("/a%20b", "matched decoded"),
            ("/..", "above its root"),
            ("= x", "must begin with `/`"),
            ("= ", "must begin with `/`"),
            ("/v1?x", "no query"),
            ("/v1/*", "write `/v1/`"),
        ] {
            let error = PathPattern::try_from(written.to_owned()).unwrap_err();
            assert!(error.contains(wanted), "{written}: {error}");
        }
        for written in ["= /health", "/v1/"] {
            assert_eq!(String::from(PathPattern::try_from(written.to_owned()).unwrap()), written);
        }
    }

    #[test]
    fn the_host_is_the_authority_without_its_port() {
        for (authority, host) in [("a:1", "a"), ("a", "a"), ("a.:80", "a"), ("[::1]:80", "[::1]"), ("", "")] {
            assert_eq!(host_of(authority), host);
        }
    }
}
