//! Regular expressions of routes, as nginx writes them: `~ ^/img/` and, whatever the letter case, `~* \.php$`. `/app/ ~ \.php$` is
//! one for paths below a prefix, as of a location within another. They match bytes, as nginx's do: `\d`, `\w`, `\s` and letter case are those
//! of ASCII, and what is no UTF-8 is matched too.

use std::fmt;

use ::regex::bytes::{Captures, Regex, RegexBuilder};

/// What a compiled expression may take, in bytes, and its caches of states. Matching takes time in proportion to the text, whatever the
/// expression.
const MAX_SIZE: usize = 1 << 20;

/// A regular expression with the mark in front of it.
#[derive(Clone)]
pub struct RouteRegex {
    written: Box<str>,
    /// The prefix of the paths that it is for; empty where it is for all.
    below: Box<str>,
    regex: Regex,
}

impl RouteRegex {
    /// The expression that a text is; `None` where it has no mark in front of it.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn parse(written: &str) -> Option<Result<Self, String>> {
        let marked = written.strip_prefix('~')?;
        let any_case = marked.strip_prefix('*');
        Some(Self::compile(written, any_case.unwrap_or(marked).trim_start(), any_case.is_some()))
    }

    /// The same for paths with this prefix alone. `written` is both.
    #[must_use]
    pub fn below(self, prefix: &str, written: &str) -> Self {
        Self { written: written.into(), below: prefix.into(), ..self }
    }

    fn compile(written: &str, expression: &str, any_case: bool) -> Result<Self, String> {
        if expression.is_empty() {
            return Err(format!("`{written}` has no expression behind its mark; write `~ ^/img/`"));
        }
        let mut builder = RegexBuilder::new(expression);
        builder.unicode(false).case_insensitive(any_case).size_limit(MAX_SIZE).dfa_size_limit(MAX_SIZE);
        match builder.build() {
            Ok(regex) => Ok(Self { written: written.into(), below: "".into(), regex }),
            Err(::regex::Error::CompiledTooBig(_)) => Err(format!("`{written}` is too large an expression")),
            Err(error) => Err(format!("`{written}` is not a regular expression: {}", reason(&error.to_string()))),
        }
    }

    /// As the YAML writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The prefix of the paths that it is for; empty where it is for all.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.below
    }

    /// Whether it matches somewhere in this text.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        text.starts_with(self.below.as_bytes()) && texts(text).any(|text| self.regex.is_match(text))
    }

    /// What its groups match in this text.
    #[must_use]
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        if !text.starts_with(&*self.below) {
            return None;
        }
        texts(text.as_bytes()).find_map(|text| self.regex.captures(text))
    }

    /// How many groups it has.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The names of its groups that have one.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.regex.capture_names().flatten()
    }
}

/// The text, and what is before a line end at its end: there `$` matches too, as to nginx's expressions.
fn texts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::once(text).chain(text.strip_suffix(b"\n"))
}

/// What is wrong, out of a message of several lines that shows the expression first.
fn reason(message: &str) -> String {
    let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let hint = if reason.contains("look-around") || reason.contains("backreferences") {
        ": matching would not be linear"
    } else if reason.contains("Unicode not allowed") {
        "; write `(?u)` in front of it"
    } else {
        ""
    };
    format!("{reason}{hint}")
}

impl PartialEq for RouteRegex {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for RouteRegex {}

impl fmt::Debug for RouteRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(written: &str) -> Result<RouteRegex, String> {
        RouteRegex::parse(written).unwrap()
    }

    #[test]
    fn a_mark_makes_a_text_an_expression() {
        assert!(RouteRegex::parse("/img/").is_none());
        for (written, text, matches) in [
            ("~ ^/img/", "/img/a", true),
            ("~^/img/", "/img/a", true),
            ("~ ^/img/", "/IMG/a", false),
            ("~* ^/img/", "/IMG/a", true),
            ("~*\\.PNG$", "/img/a.png", true),
            ("~ b", "/abc", true),
            ("~ \\.php$", "/a.php\n", true),
            ("~ \\.php$", "/a.php\n\n", false),
            ("~ ^/(?<name>[^/]+)\\/x$", "/a/x", true),
        ] {
            assert_eq!(parse(written).unwrap().is_match(text.as_bytes()), matches, "{written} {text}");
        }
        let named = parse("~ ^/(?<name>[a-z]+)/(\\d+)$").unwrap();
        assert_eq!((named.group_count(), named.group_names().collect::<Vec<_>>()), (2, vec!["name"]));
    }

    #[test]
    fn an_expression_matches_bytes_unless_it_says_otherwise() {
        for (written, text, matches) in [
            ("~ ^\\d$", &b"3"[..], true),
            ("~ ^\\d$", "\u{663}".as_bytes(), false),
            ("~ ^\\w+$", "\u{e9}".as_bytes(), false),
            ("~ \\s", "\u{a0}".as_bytes(), false),
            ("~* ^k$", "\u{212a}".as_bytes(), false),
            ("~ ^/\u{e9}$", "/\u{e9}".as_bytes(), true),
            ("~* bot", b"a \xff BOT", true),
            ("~ ^.$", b"\xff", true),
            ("~ (?u)^\\d$", "\u{663}".as_bytes(), true),
            ("~ (?u)^[\u{e9}]$", "\u{e9}".as_bytes(), true),
        ] {
            assert_eq!(parse(written).unwrap().is_match(text), matches, "{written}");
        }
    }

    #[test]
    fn what_is_no_expression_says_why_on_one_line() {
        for (written, wanted) in [
            ("~", "no expression"),
            ("~* ", "no expression"),
            ("~ (", "unclosed group"),
            (
                "~ (?=a)",
                "look-around, including look-ahead and look-behind, is not supported: matching would not be linear",
            ),
            ("~ (a)\\1", "backreferences are not supported: matching"),
            ("~ [\u{e9}]", "Unicode not allowed here; write `(?u)` in front"),
            ("~ [a-z]{1000}{1000}{1000}", "too large"),
        ] {
            let error = parse(written).unwrap_err();
            assert!(error.contains(wanted) && !error.contains('\n'), "{written}: {error}");
        }
    }
}
