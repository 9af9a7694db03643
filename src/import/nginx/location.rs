//! The locations of a server, in the order in which the first that takes a path is nginx's choice.

use std::collections::HashMap;
use std::ptr;

use super::directive::Directive;
use super::nested::{Block, Expression, Node};
use super::notes::Notes;
use super::path::Paths;

/// A location.
#[derive(Clone, Debug)]
pub(super) struct Location<'t> {
    /// The paths that it takes.
    pub(super) paths: Paths,
    /// The locations around it, and itself as the last.
    pub(super) chain: Vec<&'t Directive>,
    /// Why what it does with its paths cannot be said; they are answered with 403.
    pub(super) refusal: Option<String>,
}

/// The locations of a server.
#[derive(Debug, Default)]
pub(super) struct Locations<'t> {
    in_order: Vec<Location<'t>>,
    /// Paths that nginx completes with a slash, each with the location by which it does.
    pub(super) completed: Vec<Location<'t>>,
    /// Named ones.
    pub(super) named: HashMap<&'t str, &'t Directive>,
}

impl<'t> Locations<'t> {
    /// Those of the block of a server.
    pub(super) fn of(block: &'t [Directive], notes: &Notes) -> Self {
        let mut all = Self::default();
        let server = Block::of(block, &[], &mut all.named, notes);
        // one path is for the location that a search for it ends at, wherever that stands
        let exact = server.all_exact().into_iter();
        for node in exact.filter(|node| server.exact_at(node.text).is_some_and(|found| ptr::eq(found, *node))) {
            all.push(Paths::Exact(node.text.to_owned()), &node.chain);
        }
        all.block(&server, None, &[]);
        let bare = server.all_texts().into_iter().filter_map(|text| text.strip_suffix('/'));
        for path in bare.filter(|path| !path.is_empty()) {
            let Some(by) = server.completed_by(path) else { continue };
            let paths = Paths::Exact(path.to_owned());
            if !all.completed.iter().any(|known| known.paths == paths) {
                all.completed.push(Location { paths, chain: by.chain.clone(), refusal: None });
            }
        }
        all
    }

    /// Those within a prefix, or within the server. `after` are expressions of the blocks around that are still to be tried.
    fn block(&mut self, block: &Block<'t>, around: Option<&Node<'t>>, after: &[&Expression<'t>]) {
        let expressions: Vec<&Expression<'t>> = block.expressions.iter().chain(after.iter().copied()).collect();
        let mut early: Vec<&Node<'t>> = Vec::new();
        // the shortest first: what is below one of them must be before it
        for node in block.prefixes.iter().rev() {
            if node.is_final && !block.expressions.is_empty()
                || node.inner.has_expressions()
                || early.iter().any(|outer| node.is_below(outer))
            {
                early.push(node);
            }
        }
        for node in early.iter().rev() {
            self.prefix(node, if node.is_final { after } else { &expressions });
        }
        let is_over = around.is_none() && early.iter().any(|node| node.text == "/");
        if is_over || !self.expressions(around, &expressions) {
            return;
        }
        for node in block.prefixes.iter().filter(|node| !early.iter().any(|early| ptr::eq(*early, *node))) {
            self.prefix(node, &[]);
        }
        if let Some(node) = around {
            self.push(Paths::Prefix(node.text.to_owned()), &node.chain);
        }
    }

    fn prefix(&mut self, node: &Node<'t>, after: &[&Expression<'t>]) {
        self.block(&node.inner, Some(node), after);
    }

    /// The expressions that are tried within a prefix. `false` where all that has the prefix is taken, because one cannot be said there.
    fn expressions(&mut self, around: Option<&Node<'t>>, expressions: &[&Expression<'t>]) -> bool {
        for expression in expressions {
            let paths = match around {
                Some(node) => expression.paths.below(node.text),
                None => Some(expression.paths.clone()),
            };
            // none where nothing that has the prefix matches
            let Some(paths) = paths else { continue };
            // within one that matches less than is asked for nobody knows what is
            let own = expression.refusal.clone().map_or(Ok(()), Err);
            let inner = own.and_then(|()| expression.inner.within_expression(&paths));
            let refusal = inner.as_ref().err().cloned();
            if !paths.are_by_expression() {
                let rest = around.map_or(Paths::Any, |node| Paths::Prefix(node.text.to_owned()));
                let why = refusal.unwrap_or_else(|| "a route cannot ask for its paths".to_owned());
                self.in_order.push(Location { paths: rest, chain: expression.chain.clone(), refusal: Some(why) });
                return false;
            }
            for (paths, chain) in inner.into_iter().flatten() {
                self.push(paths, &chain);
            }
            self.in_order.push(Location { paths, chain: expression.chain.clone(), refusal });
        }
        true
    }

    fn push(&mut self, paths: Paths, chain: &[&'t Directive]) {
        self.in_order.push(Location { paths, chain: chain.to_vec(), refusal: None });
    }

    /// All of them, the first that takes a path first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Location<'t>> {
        self.in_order.iter()
    }

    /// Whether one of them takes every path.
    pub(super) fn take_all(&self) -> bool {
        self.in_order()
            .any(|location| matches!(&location.paths, Paths::Any) || location.paths == Paths::Prefix("/".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::parser::parse;
    use super::*;

    fn order(text: &str) -> Vec<String> {
        let tree = parse(&Rc::from("n"), text).unwrap();
        let locations = Locations::of(&tree, &Notes::new());
        locations.in_order().map(|location| location.paths.pattern().unwrap_or("/".to_owned())).collect()
    }

    #[test]
    fn the_first_that_takes_a_path_is_nginxs_choice() {
        let text = "location / {} location ~ b {} location /a {} location = /x {} location ^~ /s/ {} location /a/b {} location ~* a {}";
        assert_eq!(order(text), ["= /x", "/s/", "~ b", "~* a", "/a/b", "/a", "/"]);
        let plain = "location / {} location ^~ /a {} location =/x {} location /a/b {}";
        assert_eq!(order(plain), ["= /x", "/a/b", "/a", "/"]);
    }

    #[test]
    fn nested_locations_are_looked_at_before_those_around_them() {
        let text = "location ~ c {} location / { location ~ ^/(a|b)/ {} location = /sw.js {} location /sys/ {} }";
        assert_eq!(order(text), ["= /sw.js", "~ ^/(a|b)/", "~ c", "/sys/", "/"]);
    }

    #[test]
    fn an_expression_within_a_location_keeps_its_prefix() {
        let text = "location ~ z {} location /app/ { location ~ /x$ {} location ~ ^/app/y {} location ~ ^/b {} } location / {}";
        assert_eq!(order(text), ["/app/ ~ /x$", "~ ^/app/y", "/app/ ~ z", "/app/", "~ z", "/"]);
        // the longest prefix decides which of them are tried
        let longest = "location / { location ~ x {} } location /api/ {} location /api/v1/ { location ~ y {} }";
        assert_eq!(order(longest), ["/api/v1/ ~ y", "/api/v1/", "/api/", "~ x", "/"]);
        let one_path = "location /a/ { location = /a/b/c {} } location /a/b/ { location = /a/b/d {} }";
        assert_eq!(order(one_path), ["= /a/b/d", "/a/b/", "/a/"]);
        let of_expression = "location ~ ^/a { location ~ ^/a/b {} } location / {}";
        assert_eq!(order(of_expression), ["~ ^/a/b", "~ ^/a", "/"]);
    }

    #[test]
    fn a_prefix_below_one_that_ends_the_search_goes_before_it_with_its_expressions() {
        let text = "location ^~ /s/ {} location /s/t/ {} location ~ x {} location /u/ {}";
        assert_eq!(order(text), ["/s/t/ ~ x", "/s/t/", "/s/", "~ x", "/u/"]);
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_with_all_that_it_may_take() {
        let refused = |text: &str| {
            let tree = parse(&Rc::from("n"), text).unwrap();
            let locations = Locations::of(&tree, &Notes::new());
            let refused = locations.in_order().filter(|location| location.refusal.is_some());
            refused.map(|location| location.paths.pattern().unwrap_or("/".to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(refused("location ~ ^/(?!api)/x {} location / {}"), ["~ ^//x"]);
        assert_eq!(refused("location ~ ^/\\Qa\\E$ {} location / {}"), ["/"]);
        assert_eq!(refused("location ~ a { location ~ b {} } location / {}"), ["~ a"]);
        assert_eq!(order("location ~ (?!x)a { location ~ aa {} } location / {}"), ["~ a", "/"]);
    }
}
