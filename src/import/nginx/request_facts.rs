//! The variables of nginx by which routes can tell requests apart, and how a value of theirs is asked for.

use regex::bytes::{Regex, RegexBuilder};

use super::methods;
use super::notes::Notes;
use super::secrecy::{has_literals, looks_like_a_secret, names_a_secret};
use super::text::{Piece, Text};
use super::tree::{Answers, Halt, Question};

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// `$request_method`
    Method,
    /// `$http_NAME`
    Header(String),
    /// `$arg_NAME`
    Query(String),
    /// `$scheme`
    Scheme,
    /// `$https`
    Https,
    /// `$host`
    Host,
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// It is this.
    Is(String),
    /// It is this, whatever the letter case.
    IsAnyCase(String),
    /// This expression matches it.
    Matches {
        /// The expression.
        expression: String,
        /// Whether letter case does not count.
        any_case: bool,
    },
    /// It is neither empty nor `0`.
    IsTrue,
}

/// What is known of every request of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Whether it comes over TLS; `None` where some do.
    pub(super) tls: Option<bool>,
    /// The hosts that the server's routes take; none for any.
    pub(super) hosts: Vec<String>,
}

impl Subject {
    /// The part that a variable stands for.
    pub(super) fn named(variable: &str) -> Option<Self> {
        Some(match variable {
            "request_method" => Self::Method,
            "scheme" => Self::Scheme,
            "https" => Self::Https,
            "host" | "http_host" => Self::Host,
            "content_type" => Self::Header("content-type".to_owned()),
            _ => match (variable.strip_prefix("http_"), variable.strip_prefix("arg_")) {
                (Some(name), _) => Self::Header(name.replace('_', "-").to_ascii_lowercase()),
                (_, Some(name)) => Self::Query(name.to_owned()),
                _ => return None,
            },
        })
    }

    /// Whether its value stands the test.
    ///
    /// # Errors
    /// What must be asked first, or why it cannot be told.
    pub(super) fn stands(&self, test: &Test, answers: &Answers, facts: &Facts, notes: &Notes) -> Result<bool, Halt> {
        match self {
            Self::Method => match test {
                Test::Is(method) => answers.ask(Question::Method(method.clone())),
                Test::IsAnyCase(method) => answers.ask(Question::Method(method.to_ascii_uppercase())),
                Test::IsTrue => Ok(true),
                Test::Matches { expression, any_case } => methods::match_one(expression, *any_case, answers),
            },
            Self::Scheme => test.holds(if is_tls(answers, facts)? { "https" } else { "http" }),
            Self::Https => test.holds(if is_tls(answers, facts)? { "on" } else { "" }),
            Self::Host => match test {
                Test::Is(host) | Test::IsAnyCase(host) => is_host(&host.to_ascii_lowercase(), answers, facts),
                _ => Err(Halt::Never("hosts are told apart by their names alone here".to_owned())),
            },
            Self::Header(name) => valued(name, test, answers, notes, Question::Header),
            Self::Query(name) => valued(name, test, answers, notes, Question::Query),
        }
    }

    /// The value, where it is one of a few; none for a method that is none of the [usual ones](methods).
    ///
    /// # Errors
    /// What must be asked first, or that it may be anything.
    pub(super) fn value(&self, answers: &Answers, facts: &Facts) -> Result<Option<String>, Halt> {
        match self {
            Self::Method => methods::usual(answers),
            Self::Scheme => Ok(Some(if is_tls(answers, facts)? { "https" } else { "http" }.to_owned())),
            Self::Https => Ok(Some(if is_tls(answers, facts)? { "on" } else { "" }.to_owned())),
            Self::Host | Self::Header(_) | Self::Query(_) => {
                Err(Halt::Never("what depends on several parts of a request at once cannot be said here".to_owned()))
            }
        }
    }
}

impl Test {
    /// Whether a value that is known stands it.
    ///
    /// # Errors
    /// That the expression is none here, or what the environment holds decides.
    pub(super) fn holds(&self, value: &str) -> Result<bool, Halt> {
        Ok(match self {
            Self::Is(wanted) | Self::IsAnyCase(wanted) if wanted.contains("${") => {
                return Err(Halt::Never("what it compares with is known only when the gateway starts".to_owned()));
            }
            Self::Is(wanted) => value == wanted,
            Self::IsAnyCase(wanted) => value.eq_ignore_ascii_case(wanted),
            Self::Matches { expression, any_case } => compiled(expression, *any_case)?.is_match(value.as_bytes()),
            Self::IsTrue => !matches!(value, "" | "0"),
        })
    }
}

/// The expression as the gateway compiles it.
pub(super) fn compiled(expression: &str, any_case: bool) -> Result<Regex, Halt> {
    let built = RegexBuilder::new(expression).unicode(false).case_insensitive(any_case).build();
    built.map_err(|_| {
        Halt::Never(format!("`{expression}` is no regular expression here: what makes matching slow is left out"))
    })
}

fn is_tls(answers: &Answers, facts: &Facts) -> Result<bool, Halt> {
    facts.tls.map_or_else(|| answers.ask(Question::Scheme("https".to_owned())), Ok)
}

fn is_host(host: &str, answers: &Answers, facts: &Facts) -> Result<bool, Halt> {
    match &*facts.hosts {
        [only] if only == host => Ok(true),
        hosts if hosts.iter().any(|own| own.starts_with("*.") && host.ends_with(&own[1..])) => {
            answers.ask(Question::Host(host.to_owned()))
        }
        [] => answers.ask(Question::Host(host.to_owned())),
        hosts if hosts.iter().any(|own| own == host) => answers.ask(Question::Host(host.to_owned())),
        _ => Ok(false),
    }
}

/// A value of a header or of the query. One that is not there is an empty one to nginx.
fn valued(
    name: &str,
    test: &Test,
    answers: &Answers,
    notes: &Notes,
    question: fn(String, String) -> Question,
) -> Result<bool, Halt> {
    let ask = |pattern: &str| answers.ask(question(name.to_owned(), pattern.to_owned()));
    let hides = |value: &str| names_a_secret(name) || looks_like_a_secret(value);
    match test {
        Test::Is(value) | Test::IsAnyCase(value) if value.is_empty() => Ok(!ask("~ .")?),
        Test::IsAnyCase(value) if has_letters(value) && (value.contains("${") || hides(value)) => {
            let reference = if value.contains("${") { value.clone() } else { notes.secret(value) };
            ask(&format!("~* ^{}$", escaped(&reference, notes)))
        }
        Test::Is(value) | Test::IsAnyCase(value) if hides(value) => {
            ask(&if value.contains("${") { value.clone() } else { notes.secret(value) })
        }
        Test::Is(value) if is_itself(value) => ask(value),
        Test::IsAnyCase(value) if is_itself(value) && !has_letters(value) => ask(value),
        Test::Is(value) => ask(&format!("~ ^{}$", escaped(value, notes))),
        Test::IsAnyCase(value) => ask(&format!("~* ^{}$", escaped(value, notes))),
        Test::Matches { expression, any_case } => {
            let hides = looks_like_a_secret(expression) || names_a_secret(name) && has_literals(expression);
            let compiled = compiled(expression, *any_case).map_err(|halt| match hides {
                true => Halt::Never(format!("an expression on `{name}` is none here")),
                false => halt,
            })?;
            let takes_nothing = compiled.is_match(b"");
            let mark = if *any_case { "~*" } else { "~" };
            let expression =
                if hides && !expression.contains("${") { notes.whole_secret(expression) } else { expression.clone() };
            Ok(ask(&format!("{mark} {expression}"))? || takes_nothing && !ask("~ .")?)
        }
        Test::IsTrue => ask("~ ^(?:[^0]|0.)"),
    }
}

fn has_letters(value: &str) -> bool {
    value.contains(|c: char| c.is_ascii_alphabetic())
}

/// A text as an expression that matches it, but for what the environment holds.
fn escaped(text: &str, notes: &Notes) -> String {
    let pieces = Text::parse(text);
    pieces.pieces().iter().fold(String::new(), |all, piece| match piece {
        Piece::Literal(text) => all + &regex::escape(text),
        Piece::Variable(name) => all + &regex::escape(&format!("${name}")),
        Piece::Environment(name) => {
            notes.remark(&format!(
                "`{name}` stands in an expression: write `\\` before each `.`, `+`, `$` and the like in its value."
            ));
            all + "${" + name + "}"
        }
    })
}

/// Whether a value as a pattern means itself.
fn is_itself(value: &str) -> bool {
    value != "*" && !value.starts_with('~')
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn told(variable: &str, test: &Test) -> Vec<(String, bool)> {
        let (facts, notes) = (Facts::default(), Notes::new());
        let tree = Tree::of(|answers| Subject::named(variable).unwrap().stands(test, answers, &facts, &notes)).unwrap();
        let leaves = tree.leaves().unwrap().into_iter();
        leaves.map(|(c, leaf)| (format!("{:?}{:?}{:?}", c.method, c.headers, c.query), leaf)).collect()
    }

    #[test]
    fn a_header_that_is_not_there_is_an_empty_one() {
        let is_empty = told("http_x_a", &Test::Is(String::new()));
        assert_eq!(is_empty, [("None{\"x-a\": \"~ .\"}{}".to_owned(), false), ("None{}{}".to_owned(), true)]);
        let any = Test::Matches { expression: "^a?$".to_owned(), any_case: false };
        assert_eq!(told("http_x_a", &any).iter().map(|(_, leaf)| *leaf).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn a_secret_is_never_repeated() {
        let told = told("http_authorization", &Test::Is("Bearer sk-1".to_owned()));
        assert_eq!(told[0].0, "None{\"authorization\": \"Bearer ${NGINX_SECRET_1}\"}{}");
        let any = |expression: &str| Test::Matches { expression: expression.to_owned(), any_case: false };
        let (facts, notes) = (Facts::default(), Notes::new());
        let asked = |variable: &str, test: &Test| match Subject::named(variable).unwrap().stands(
            test,
            &Answers::default(),
            &facts,
            &notes,
        ) {
            Err(Halt::Ask(Question::Header(_, pattern) | Question::Query(_, pattern))) => pattern,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked("http_authorization", &any("^Bearer (one|two)$")), "~ ${NGINX_SECRET_1}");
        assert_eq!(asked("http_authorization", &any("^Bearer .+$")), "~ ^Bearer .+$");
        assert_eq!(asked("arg_key", &Test::Is("three".to_owned())), "${NGINX_SECRET_2}");
        assert_eq!(asked("http_x_kind", &Test::Is("sk-abcdef".to_owned())), "${NGINX_SECRET_3}");
        let any_case = |value: &str| Test::IsAnyCase(value.to_owned());
        assert_eq!(asked("http_authorization", &any_case("Bearer leaked")), "~* ^Bearer ${NGINX_SECRET_4}$");
        assert_eq!(asked("http_authorization", &any_case("1234")), "${NGINX_SECRET_5}");
        assert_eq!(asked("http_x_kind", &any_case("a.${KIND}")), "~* ^a\\.${KIND}$");
    }
}
