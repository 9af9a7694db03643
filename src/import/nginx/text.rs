//! nginx's strings with variables in them, and how they are written here.

use std::fmt;

use plugin_api::Variable;

/// A string with variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(Vec<Piece>);

/// A part of a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Itself.
    Literal(String),
    /// `$name`, or a group of a regular expression by its number.
    Variable(String),
    /// `${NAME}` of a template: a variable of the environment.
    Environment(String),
}

impl Piece {
    /// Whether it is a group of an expression, by its number.
    pub(super) fn is_group(&self) -> bool {
        matches!(self, Self::Variable(name) if name.parse::<u8>().is_ok())
    }
}

impl Text {
    /// The parts of what nginx reads as a string with variables. Names in capitals alone are the environment's.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Self::default();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            parts.push_literal(&rest[..at]);
            let behind = &rest[at + 1..];
            let braced =
                behind.strip_prefix('{').and_then(|inner| inner.split_once('}')).filter(|(name, _)| is_name(name));
            let bare = name_length(behind);
            let name = match braced {
                Some((name, after)) => {
                    rest = after;
                    name
                }
                None if bare > 0 => {
                    rest = &behind[bare..];
                    &behind[..bare]
                }
                None => {
                    parts.push_literal("$");
                    rest = behind;
                    continue;
                }
            };
            let is_of_environment = name.bytes().any(|byte| byte.is_ascii_uppercase())
                && !name.bytes().any(|byte| byte.is_ascii_lowercase());
            let kind = if is_of_environment { Piece::Environment } else { Piece::Variable };
            parts.0.push(kind(name.to_owned()));
        }
        parts.push_literal(rest);
        parts
    }

    /// A string without variables.
    pub(super) fn literal(text: &str) -> Self {
        let mut parts = Self::default();
        parts.push_literal(text);
        parts
    }

    /// What a variable holds that is not known.
    pub(super) fn unknown(variable: &str) -> Self {
        // with a name that no variable has
        Self(vec![Piece::Variable(format!("{variable} "))])
    }

    /// The parts.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Puts another string behind it.
    pub(super) fn append(&mut self, other: Self) {
        for piece in other.0 {
            match piece {
                Piece::Literal(text) => self.push_literal(&text),
                other => self.0.push(other),
            }
        }
    }

    /// The text, where there is no variable in it.
    pub(super) fn as_literal(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The one variable that it is.
    pub(super) fn as_variable(&self) -> Option<&str> {
        match &*self.0 {
            [Piece::Variable(name)] => Some(name),
            _ => None,
        }
    }

    /// Whether all of it is known when the gateway starts.
    pub(super) fn is_constant(&self) -> bool {
        !self.0.iter().any(|piece| matches!(piece, Piece::Variable(_)))
    }

    /// As a value of the YAML that holds no variables of requests.
    pub(super) fn constant(&self) -> Option<String> {
        self.is_constant().then(|| {
            self.0.iter().fold(String::new(), |all, piece| match piece {
                Piece::Literal(text) => all + &text.replace("${", "$${"),
                Piece::Environment(name) => all + "${" + name + "}",
                Piece::Variable(_) => all,
            })
        })
    }

    /// As a value of the YAML that may hold variables, and groups of the route's expression.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(super) fn template(&self) -> Result<String, String> {
        let mut out = String::new();
        for (at, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Literal(text) if text.contains("${") => {
                    return Err("a text with `${` cannot be written in a template".to_owned());
                }
                Piece::Literal(text) => out.push_str(&text.replace('$', "$$")),
                Piece::Environment(name) => out.push_str(&format!("${{{name}}}")),
                Piece::Variable(name) => {
                    if !piece.is_group() && Variable::named(name).is_none() {
                        return Err(format!("`${name}` is no variable here"));
                    }
                    if matches!(self.0.get(at + 1), Some(Piece::Literal(next)) if name_length(next) > 0 || next.starts_with(is_name_part))
                    {
                        return Err(format!("`${name}` stands right before a letter, which no template here can say"));
                    }
                    out.push_str(&format!("${name}"));
                }
            }
        }
        Ok(out)
    }

    fn push_literal(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Literal(last)) => last.push_str(text),
            _ => self.0.push(Piece::Literal(text.to_owned())),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(text),
            Piece::Variable(name) => write!(f, "${name}"),
            Piece::Environment(name) => write!(f, "${{{name}}}"),
        })
    }
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_name_part)
}

/// How long the name at the beginning is. A group of an expression is one digit.
fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 1;
    }
    text.find(|c| !is_name_part(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_has_literals_variables_and_the_environments() {
        let parsed = Text::parse("http://${HOST}:80$request_uri?${arg_a}b$1c$");
        let [Piece::Literal(scheme), Piece::Environment(host), .., Piece::Literal(end)] = parsed.pieces() else {
            panic!("{parsed:?}")
        };
        assert_eq!((scheme.as_str(), host.as_str(), end.as_str()), ("http://", "HOST", "c$"));
        assert_eq!(Text::parse("$host").as_variable(), Some("host"));
        assert_eq!(Text::parse("").as_literal(), Some(""));
        assert_eq!(Text::parse("${A}b").constant().as_deref(), Some("${A}b"));
        assert_eq!(Text::parse("$a").constant(), None);
    }

    #[test]
    fn a_template_holds_what_the_gateway_knows() {
        for (text, template) in [
            ("https://$host$request_uri", Ok("https://$host$request_uri")),
            ("/i/$1", Ok("/i/$1")),
            ("5 $", Ok("5 $$")),
            ("${host}:${PORT}", Ok("$host:${PORT}")),
            ("$upstream_cache_status", Err("is no variable here")),
            ("${host}x", Err("right before a letter")),
        ] {
            match (Text::parse(text).template(), template) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{text}: {found:?} {expected:?}"),
            }
        }
    }
}
