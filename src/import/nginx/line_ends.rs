//! Paths with a line end in them. `.` stops there, so that an expression that is for all paths leaves these out; which location, rewrite or
//! condition nginx then comes to is not asked: they are refused where it may matter.

use super::directive::Directive;
use super::relaxed::class_length;
use super::route::{Action, Route, Takes, Target};

/// Refuses such paths before all others, if there is an expression on paths that stops at line ends, and a server to reach.
pub(super) fn refuse(routes: &mut Vec<Route>, directives: &[Directive]) {
    let leads_upstream = |route: &Route| matches!(route.action.target, Target::Upstream { .. });
    if routes.iter().any(leads_upstream) && stop_somewhere(directives) {
        let takes = Takes { paths: vec![r"~ \n".to_owned()], ..Takes::default() };
        routes.insert(0, Route { takes, action: Action::answer(403) });
    }
}

fn stop_somewhere(directives: &[Directive]) -> bool {
    directives.iter().any(|directive| {
        let is_expression = match (directive.name.as_str(), directive.first()) {
            ("location", mark) => mark.starts_with('~'),
            ("if", subject) => subject.contains("$uri") || subject.contains("$document_uri"),
            (name, _) => name == "rewrite",
        };
        let words = if directive.name == "rewrite" { 1 } else { directive.args.len() };
        is_expression && directive.args.iter().take(words).any(|word| stops(word))
            || stop_somewhere(directive.children())
    })
}

/// Whether there is a dot for any character in an expression.
fn stops(expression: &str) -> bool {
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '.' => return true,
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' => class_length(rest),
            other => other.len_utf8(),
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_for_any_character_stops_at_line_ends() {
        for expression in ["^/a/(.*)$", "[.].", r"\\.", ".+"] {
            assert!(stops(expression), "{expression}");
        }
        for expression in [r"\.php$", "[^.]*", "^/a", "[].]", ""] {
            assert!(!stops(expression), "{expression}");
        }
    }
}
