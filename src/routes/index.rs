//! The routes that can take a request, by its host and its path: of thousands, the few that are worth a look. Decides nothing.

use std::borrow::Cow;
use std::collections::HashMap;

use smallvec::SmallVec;

use super::host::HostPattern;
use super::path::PathPattern;

/// The routes, by hosts and paths.
#[derive(Debug, Default)]
pub struct Index {
    /// By the hosts that they name, in lower case.
    exact: HashMap<Box<str>, Paths>,
    /// By the suffixes of the hosts that they name.
    below: HashMap<Box<str>, Paths>,
    /// Those for any host.
    any: Paths,
}

/// Routes by their paths. A route is in each list at most once, and lists are in the order of the routes.
#[derive(Debug, Default)]
struct Paths {
    /// Those for one path alone.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// Those for prefixes, in the order of the prefixes.
    prefixes: Vec<Prefix>,
    /// Those that must be looked at for every path.
    rest: Vec<usize>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
    routes: Vec<usize>,
}

impl Index {
    /// The index of routes, each with its hosts and its paths.
    pub fn new<'a>(
        routes: impl Iterator<Item = (impl Iterator<Item = &'a HostPattern>, impl Iterator<Item = &'a PathPattern>)>,
    ) -> Self {
        let mut index = Self::default();
        for (route, (hosts, paths)) in routes.enumerate() {
            let paths: Vec<&PathPattern> = paths.collect();
            let mut is_for_any = true;
            for host in hosts {
                is_for_any = false;
                let list = match host {
                    HostPattern::Exact(name) => index.exact.entry(name.as_str().into()),
                    HostPattern::Below(suffix) => index.below.entry(suffix.as_str().into()),
                };
                list.or_default().add(route, &paths);
            }
            if is_for_any {
                index.any.add(route, &paths);
            }
        }
        index.exact.values_mut().chain(index.below.values_mut()).chain([&mut index.any]).for_each(Paths::link);
        index
    }

    /// Every route that can take a request for this host and path, in order and each once, and some that cannot.
    #[must_use]
    pub fn candidates(&self, host: &str, path: &str) -> Candidates<'_> {
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        let mut candidates = Candidates::default();
        candidates.add(&self.any, path);
        if let Some(paths) = self.exact.get(&*host) {
            candidates.add(paths, path);
        }
        if !self.below.is_empty() {
            let suffixes = host.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0);
            for paths in suffixes.filter_map(|at| self.below.get(&host[at..])) {
                candidates.add(paths, path);
            }
        }
        candidates
    }
}

impl Paths {
    fn add(&mut self, route: usize, paths: &[&PathPattern]) {
        fn push(list: &mut Vec<usize>, route: usize) {
            if list.last() != Some(&route) {
                list.push(route);
            }
        }
        if paths.is_empty() || paths.iter().any(|path| path.regex().is_some()) {
            push(&mut self.rest, route);
            return;
        }
        for path in paths {
            match path {
                PathPattern::Exact(path) => push(self.exact.entry(path.as_str().into()).or_default(), route),
                PathPattern::Prefix(text) => {
                    self.prefixes.push(Prefix { text: text.as_str().into(), parent: None, routes: vec![route] });
                }
                PathPattern::Regex(_) => {}
            }
        }
    }

    /// Puts the prefixes in order, equal ones together, and leads from each to the longest one that it begins with.
    fn link(&mut self) {
        // stable: routes stay in their order
        self.prefixes.sort_by(|one, other| one.text.cmp(&other.text));
        self.prefixes.dedup_by(|later, kept| {
            let is_same = later.text == kept.text;
            if is_same {
                kept.routes.append(&mut later.routes);
                kept.routes.dedup();
            }
            is_same
        });
        for at in 1..self.prefixes.len() {
            let (before, text) = (&self.prefixes[..at], &self.prefixes[at].text);
            let mut parent = Some(at - 1);
            while let Some(candidate) = parent.filter(|parent| !text.starts_with(&*before[*parent].text)) {
                parent = before[candidate].parent;
            }
            self.prefixes[at].parent = parent;
        }
    }
}

/// Routes in their order.
#[derive(Debug, Default)]
pub struct Candidates<'i> {
    /// Only hosts and paths of many parts lead to more lists than have room without an allocation.
    lists: SmallVec<[&'i [usize]; 8]>,
}

impl<'i> Candidates<'i> {
    fn add(&mut self, paths: &'i Paths, path: &str) {
        let mut push = |list: &'i [usize]| {
            if !list.is_empty() {
                self.lists.push(list);
            }
        };
        push(&paths.rest);
        if let Some(routes) = paths.exact.get(path) {
            push(routes);
        }
        let behind = paths.prefixes.partition_point(|prefix| *prefix.text <= *path);
        let mut next = behind.checked_sub(1);
        while let Some(prefix) = next.map(|at| &paths.prefixes[at]) {
            if path.starts_with(&*prefix.text) {
                push(&prefix.routes);
            }
            next = prefix.parent;
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let route = self.lists.iter().filter_map(|list| list.first()).min().copied()?;
        for list in &mut self.lists {
            if list.first() == Some(&route) {
                *list = &list[1..];
            }
        }
        Some(route)
    }
}
