//! Expressions that have no counterpart, without what they have too much: what is left matches at least what they match.

/// An expression that matches wherever this one does, without look-around, atomic groups, possessive quantifiers and backreferences.
/// Whether it compiles is another matter.
pub(super) fn relaxed(expression: &str) -> String {
    let mut out = String::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length = if LOOK_AROUND.iter().any(|start| rest.starts_with(start)) {
            group_length(rest)
        } else if rest.starts_with("(?>") {
            out.push_str("(?:");
            3
        } else {
            piece(rest, first, &mut out)
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

const LOOK_AROUND: [&str; 4] = ["(?=", "(?!", "(?<=", "(?<!"];

/// Copies an escape, a class, a quantifier or a character; gives its length.
fn piece(rest: &str, first: char, out: &mut String) -> usize {
    let behind = rest[first.len_utf8()..].chars().next();
    match (first, behind) {
        ('\\', Some('1'..='9')) => {
            out.push_str("(?s:.*)");
            2
        }
        ('\\', Some(escaped)) => {
            let length = 1 + escaped.len_utf8();
            out.push_str(&rest[..length]);
            length
        }
        ('[', _) => {
            let length = class_length(rest);
            out.push_str(&rest[..length]);
            length
        }
        ('+' | '*' | '?' | '}', Some('+')) => {
            out.push(first);
            2
        }
        _ => {
            out.push(first);
            first.len_utf8()
        }
    }
}

/// How long the group at the beginning is.
fn group_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' => 2,
            b'[' => rest.get(at..).map_or(1, class_length),
            _ => 1,
        };
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// How long the class at the beginning is.
pub(super) fn class_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = if bytes.get(1) == Some(&b'^') { 2 } else { 1 };
    // a bracket that comes first is a member
    at += usize::from(bytes.get(at) == Some(&b']'));
    while let Some(byte) = bytes.get(at) {
        match byte {
            b']' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_matches_at_least_as_much() {
        for (expression, expected) in [
            (r"/\.(?!well-known)", r"/\."),
            (r"^/(?!api/(v1|[)]))(.*)$", r"^/(.*)$"),
            (r"(?<!x)\.php$", r"\.php$"),
            (r"^/(?>a+)b++[+]++", r"^/(?:a+)b+[+]+"),
            (r"^/(a)\1$", r"^/(a)(?s:.*)$"),
            (r"^/(?<name>a)[]\]]", r"^/(?<name>a)[]\]]"),
            (r"\(?!é", r"\(?!é"),
            ("(?=", ""),
        ] {
            assert_eq!(relaxed(expression), expected, "{expression}");
        }
    }
}
