//! Text with variables and with what the groups of a route's expression matched: `https://$host/i/$1`.

use std::fmt;

use plugin_api::{Variable, Variables};
use regex::bytes::Captures;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use template::{Piece, Template};
use url_path::{encode_path, encode_query};

use super::regex::RouteRegex;

/// Text with nginx's variables in it, and with groups of the route's expression by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RouteTemplate {
    written: Box<str>,
    template: Template<RouteVariable>,
}

/// What a name behind a dollar stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RouteVariable {
    /// What a group matched.
    Group(Group),
    /// A variable of the request.
    Request(Variable),
}

/// A group of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// By its number; the first is 1.
    Number(usize),
    /// By its name.
    Name(Box<str>),
}

impl Group {
    /// Whether an expression has it; every one has the whole match, `$0`.
    #[must_use]
    pub fn is_of(&self, regex: &RouteRegex) -> bool {
        match self {
            Self::Number(number) => *number <= regex.group_count(),
            Self::Name(name) => regex.group_names().any(|known| *known == **name),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "${number}"),
            Self::Name(name) => write!(f, "${name}"),
        }
    }
}

/// What a template is expanded from.
pub struct Scope<'a> {
    /// The request.
    pub variables: Variables<'a>,
    /// What the groups of the route's expression matched, where it has one.
    pub groups: Option<Captures<'a>>,
}

/// What a template becomes a part of. That decides what of the values is percent-encoded, because it would be read as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Text: values stand for themselves.
    Text,
    /// The address that a client is sent to. Groups and `$uri`, which are decoded, are encoded again.
    Location,
    /// The target of a request. Every value is encoded but those that were a part of the client's target.
    Target,
}

impl RouteTemplate {
    /// The text that it always stands for, where it has no variable.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.template.as_text()
    }

    /// As the YAML writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The groups in it.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.template.pieces().iter().filter_map(|piece| match piece {
            Piece::Variable(RouteVariable::Group(group)) => Some(group),
            Piece::Variable(RouteVariable::Request(_)) | Piece::Text(_) => None,
        })
    }

    /// What it stands for.
    #[must_use]
    pub fn expand(&self, scope: &Scope<'_>, usage: Use) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.written.len() + 64);
        let mut value = Vec::new();
        self.template.expand(&mut out, |variable, out| {
            value.clear();
            variable.append(&mut value, scope);
            if variable.stays(usage) {
                out.extend_from_slice(&value);
            } else if out.contains(&b'?') {
                encode_query(&value, out);
            } else {
                encode_path(&value, out);
            }
        });
        out
    }
}

impl RouteVariable {
    fn append(&self, out: &mut Vec<u8>, scope: &Scope<'_>) {
        let groups = scope.groups.as_ref();
        let matched = match self {
            Self::Request(variable) => return variable.append(out, &scope.variables),
            Self::Group(Group::Number(number)) => groups.and_then(|groups| groups.get(*number)),
            Self::Group(Group::Name(name)) => groups.and_then(|groups| groups.name(name)),
        };
        out.extend_from_slice(matched.map_or(&[][..], |matched| matched.as_bytes()));
    }

    /// Whether its value goes into the text as it is.
    fn stays(&self, usage: Use) -> bool {
        match (usage, self) {
            (Use::Text, _) => true,
            (_, Self::Group(_) | Self::Request(Variable::Uri)) => false,
            (Use::Location, _) => true,
            (Use::Target, Self::Request(variable)) => {
                matches!(variable, Variable::RequestUri | Variable::Args | Variable::IsArgs | Variable::Arg(_))
            }
        }
    }
}

impl TryFrom<String> for RouteTemplate {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        // which names are groups is known once the route's paths are
        let variable = |name: &str| match (name.parse(), Variable::named(name)) {
            (Ok(number), _) => Some(RouteVariable::Group(Group::Number(number))),
            (Err(_), Some(variable)) if variable.is_of_response() => None,
            (Err(_), Some(variable)) => Some(RouteVariable::Request(variable)),
            (Err(_), None) => Some(RouteVariable::Group(Group::Name(name.into()))),
        };
        match Template::parse(&written, variable) {
            Ok(template) => Ok(Self { written: written.into(), template }),
            Err(template::TemplateError::Unknown { name }) => {
                Err(format!("`${name}` is known only once there is a response, and this is made before one"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl From<RouteTemplate> for String {
    fn from(template: RouteTemplate) -> Self {
        template.written.into()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use plugin_api::testing::{TestRequest, context};

    use super::*;

    fn expanded(written: &str, target: &str, usage: Use) -> String {
        let template = RouteTemplate::try_from(written.to_owned()).unwrap();
        let path = url_path::normalize(target.split('?').next().unwrap()).unwrap();
        let regex = RouteRegex::parse("~ (?s)^/img/(?<name>.*)$").unwrap().unwrap();
        let (test, mut context) = (TestRequest::asking(Method::GET, target), context());
        let request = test.request(&mut context);
        let scope = Scope { variables: request.variables(), groups: regex.captures(&path) };
        String::from_utf8(template.expand(&scope, usage)).unwrap()
    }

    #[test]
    fn a_group_is_encoded_where_it_would_be_read_as_something_else() {
        let target = "/img/a%20b%3Fc%25%0d%0aX?q=%20";
        assert_eq!(expanded("/i/$1", target, Use::Target), "/i/a%20b%3Fc%25%0D%0AX");
        assert_eq!(expanded("/i?n=$name", "/img/a&b=c", Use::Target), "/i?n=a%26b%3Dc");
        assert_eq!(expanded("https://x/$name", target, Use::Location), "https://x/a%20b%3Fc%25%0D%0AX");
        assert_eq!(expanded("<$1>", "/img/a%20b", Use::Text), "<a b>");
        assert_eq!(expanded("/i/$2$other", target, Use::Target), "/i/");
    }

    #[test]
    fn what_was_a_part_of_the_target_stays_as_it_came() {
        let target = "/img/%61?q=%20&x";
        assert_eq!(expanded("/a$request_uri", target, Use::Target), "/a/img/%61?q=%20&x");
        assert_eq!(expanded("/a?$args&b=$arg_q", target, Use::Target), "/a?q=%20&x&b=%20");
        assert_eq!(expanded("https://h$request_uri", target, Use::Location), "https://h/img/%61?q=%20&x");
    }

    #[test]
    fn a_variable_of_the_response_is_an_error() {
        let error = |written: &str| RouteTemplate::try_from(written.to_owned()).unwrap_err();
        assert!(error("$status").contains("once there is a response"));
        assert!(error("a$").contains("$$"));
    }
}
