//! The locations of a server, in the order in which the first that takes a path is nginx's choice.

use std::collections::HashMap;

use super::directive::Directive;
use super::notes::Notes;
use super::path::Paths;
use super::request_facts::compiled;

/// A location.
#[derive(Clone, Debug)]
pub(super) struct Location<'t> {
    /// The paths that it takes.
    pub(super) paths: Paths,
    /// The locations around it, and itself as the last.
    pub(super) chain: Vec<&'t Directive>,
}

/// The locations of a server by their kinds.
#[derive(Debug, Default)]
pub(super) struct Locations<'t> {
    exact: Vec<Location<'t>>,
    /// Prefixes that end the search: `^~`.
    final_prefixes: Vec<Location<'t>>,
    expressions: Vec<Location<'t>>,
    prefixes: Vec<Location<'t>>,
    /// Named ones.
    pub(super) named: HashMap<&'t str, &'t Directive>,
}

enum Kind {
    Exact,
    FinalPrefix,
    Expression { any_case: bool },
    Prefix,
    Named,
}

impl<'t> Locations<'t> {
    /// Those of the block of a server.
    pub(super) fn of(block: &'t [Directive], notes: &Notes) -> Self {
        let mut all = Self::default();
        all.collect(block, &[], notes);
        let longest_first = |list: &mut Vec<Location<'_>>| list.sort_by_key(|location| usize::MAX - location.length());
        longest_first(&mut all.final_prefixes);
        longest_first(&mut all.prefixes);
        if all.expressions.is_empty() {
            // nothing is left to end the search for
            all.prefixes.append(&mut all.final_prefixes);
            longest_first(&mut all.prefixes);
        }
        all.say_conflicts(notes);
        all
    }

    fn collect(&mut self, block: &'t [Directive], around: &[&'t Directive], notes: &Notes) {
        let mut nested = Vec::new();
        for directive in block.iter().filter(|directive| directive.name == "location") {
            let Some((kind, text)) = kind(&directive.args) else {
                notes.leave_out(directive, "it takes no path that can be read");
                continue;
            };
            if matches!(kind, Kind::Named) {
                self.named.insert(text, directive);
                continue;
            }
            if let Kind::Expression { any_case } = kind
                && compiled(text, any_case).is_err()
            {
                let why = "its expression is none here, where matching never takes long; its paths go to the locations behind it";
                notes.leave_out(directive, why);
                continue;
            }
            directive.done();
            let chain: Vec<&Directive> = around.iter().copied().chain([directive]).collect();
            // those within it are looked at first
            self.collect(directive.children(), &chain, notes);
            let location = |paths| Location { paths, chain };
            match kind {
                Kind::Exact => self.exact.push(location(Paths::Exact(text.to_owned()))),
                Kind::FinalPrefix => self.final_prefixes.push(location(Paths::Prefix(text.to_owned()))),
                Kind::Expression { any_case } => {
                    nested.push(location(Paths::Expression { text: text.to_owned(), any_case }));
                }
                Kind::Prefix => self.prefixes.push(location(Paths::Prefix(text.to_owned()))),
                Kind::Named => {}
            }
        }
        self.expressions.extend(nested);
    }

    /// Says where the order of routes cannot be nginx's.
    fn say_conflicts(&self, notes: &Notes) {
        let under = |outer: &Location<'_>, inner: &Location<'_>| match (&outer.paths, &inner.paths) {
            (Paths::Prefix(outer), Paths::Prefix(inner)) => inner.len() > outer.len() && inner.starts_with(outer),
            _ => false,
        };
        for outer in &self.final_prefixes {
            for inner in self.prefixes.iter().filter(|inner| under(outer, inner)) {
                if let Some(directive) = inner.chain.last() {
                    let why = "it is below a `^~` location, which is the first that takes its paths; put its route before that one's";
                    notes.name(directive, why);
                }
            }
        }
    }

    /// All of them, the first that takes a path first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Location<'t>> {
        self.exact.iter().chain(&self.final_prefixes).chain(&self.expressions).chain(&self.prefixes)
    }

    /// Whether one of them takes every path.
    pub(super) fn take_all(&self) -> bool {
        self.final_prefixes.iter().chain(&self.prefixes).any(|location| location.paths == Paths::Prefix("/".to_owned()))
    }

    /// Whether one is for this very path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.in_order().any(|location| matches!(&location.paths, Paths::Exact(own) | Paths::Prefix(own) if own == path))
    }
}

impl Location<'_> {
    fn length(&self) -> usize {
        match &self.paths {
            Paths::Prefix(path) => path.len(),
            _ => 0,
        }
    }
}

fn kind(args: &[String]) -> Option<(Kind, &str)> {
    let expression = |any_case| Kind::Expression { any_case };
    Some(match args {
        [mark, text] => match mark.as_str() {
            "=" => (Kind::Exact, text),
            "^~" => (Kind::FinalPrefix, text),
            "~" => (expression(false), text),
            "~*" => (expression(true), text),
            _ => return None,
        },
        [text] => {
            if let Some(path) = text.strip_prefix('=') {
                (Kind::Exact, path)
            } else if let Some(path) = text.strip_prefix("^~") {
                (Kind::FinalPrefix, path)
            } else if let Some(text) = text.strip_prefix("~*") {
                (expression(true), text)
            } else if let Some(text) = text.strip_prefix('~') {
                (expression(false), text)
            } else if text.starts_with('@') {
                (Kind::Named, text)
            } else {
                (Kind::Prefix, text)
            }
        }
        _ => return None,
    })
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
}
