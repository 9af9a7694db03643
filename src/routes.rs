//! Finds the route of a request by what its head says. What the routes lead to, and the settings of both, are in the files below.

mod answer;
mod conditions;
mod fields;
mod host;
mod index;
mod models;
mod path;
mod path_change;
mod redirect;
mod regex;
mod settings;
mod shadowed;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod timeouts;

use std::sync::Arc;

use ::regex::bytes::Captures;
use http::{HeaderMap, Method};
use plugin_api::ConnectionInfo;

use conditions::Conditions;
use index::Index;

pub use answer::AnswerSettings;
pub use conditions::{Mismatch, Scheme};
pub use host::HostPattern;
pub use models::{ModelEntry, ModelName, ModelPattern};
pub use path::PathPattern;
pub use path_change::{PathChange, Unsendable};
pub use redirect::RedirectStatus;
pub use settings::{OnClientDisconnect, RouteAccessLog, RouteSettings, WebSockets};
pub use shadowed::{RoutePart, Shadowed, shadowed};
pub use target::{Redirect, Target, UpstreamTarget};
pub use template::{Group, RouteTemplate, Scope, Use};
pub use timeouts::RouteTimeouts;
pub use url_path::{InvalidPath, normalize};

/// The host label of requests to hosts that no route names: what a client sends must not become a label.
pub const OTHER_HOST: &str = "other";

/// So many routes are looked at one by one, which takes less time than an index.
const FEW: usize = 16;

/// The routes in the order of the YAML.
#[derive(Debug)]
pub struct Router {
    routes: Vec<Pattern>,
    /// Where there are many.
    index: Option<Index>,
    other: Arc<str>,
}

/// The requests that a route matches.
#[derive(Debug)]
struct Pattern {
    hosts: Vec<(HostPattern, Arc<str>)>,
    paths: Vec<PathPattern>,
    /// `None` where there are none.
    conditions: Option<Box<Conditions>>,
}

/// What routes look at of a request.
#[derive(Clone, Copy, Debug)]
pub struct RouteRequest<'a> {
    /// The host, without port, in any case.
    pub host: &'a str,
    /// The path, in its [normal form](normalize).
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The query, as the client sent it.
    pub query: Option<&'a str>,
    /// The connection that it came on.
    pub connection: &'a ConnectionInfo,
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
        let routes: Vec<Pattern> = routes.map(Pattern::of).collect();
        let index = (routes.len() > FEW).then(|| {
            Index::new(routes.iter().map(|route| (route.hosts.iter().map(|(host, _)| host), route.paths.iter())))
        });
        Self { routes, index, other: OTHER_HOST.into() }
    }

    /// The first route that matches this request.
    #[must_use]
    pub fn find(&self, request: &RouteRequest<'_>) -> Option<RouteMatch> {
        let matching = |index: usize| {
            let domain = self.routes[index].takes(request, &self.other).ok()?;
            Some(RouteMatch { index, domain: domain.clone() })
        };
        match &self.index {
            None => (0..self.routes.len()).find_map(matching),
            Some(index) => index.candidates(request.host, request.path).find_map(matching),
        }
    }

    /// What the groups of a route's expression match in the path that it was found by. `None` where another of its paths takes that.
    #[must_use]
    pub fn groups<'p>(&self, route: usize, path: &'p str) -> Option<Captures<'p>> {
        // an expression is matched once more for its groups, and not to find out first whether it matches
        self.routes.get(route)?.paths.iter().find_map(|pattern| match pattern.regex() {
            Some(regex) => regex.captures(path).map(Some),
            None => pattern.takes(path).then_some(None),
        })?
    }

    /// Why a route does not take a request; `None` where it does, or there is no such route.
    #[must_use]
    pub fn mismatch(&self, route: usize, request: &RouteRequest<'_>) -> Option<Mismatch<'_>> {
        self.routes.get(route)?.takes(request, &self.other).err()
    }

    /// The label of a request that no route matches.
    #[must_use]
    pub fn other(&self) -> &Arc<str> {
        &self.other
    }
}

impl Pattern {
    fn of(route: &RouteSettings) -> Self {
        let label = |host: &HostPattern| (host.clone(), String::from(host.clone()).into());
        Self {
            hosts: route.hosts.iter().map(|host| label(&host.value)).collect(),
            paths: route.paths.iter().map(|path| path.value.clone()).collect(),
            conditions: (!route.conditions.are_none()).then(|| Box::new(route.conditions.clone())),
        }
    }

    /// The label of the host by which it takes a request.
    ///
    /// # Errors
    /// What of the request it does not take.
    fn takes<'a>(&'a self, request: &RouteRequest<'_>, other: &'a Arc<str>) -> Result<&'a Arc<str>, Mismatch<'a>> {
        let domain = self.domain(request.host, other).ok_or(Mismatch::Host)?;
        if !self.paths.is_empty() && !self.paths.iter().any(|pattern| pattern.takes(request.path)) {
            return Err(Mismatch::Path);
        }
        match self.conditions.as_ref().and_then(|conditions| conditions.mismatch(request)) {
            None => Ok(domain),
            Some(mismatch) => Err(mismatch),
        }
    }

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
