//! What a route asks of a request besides its host and its path: method, headers, query, scheme, listener.

use std::borrow::Cow;
use std::net::SocketAddr;

use http::{HeaderMap, HeaderName};
use indexmap::IndexMap;
use located_yaml::Located;
use plugin_api::HttpMethod;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RouteRequest;
use super::text::TextPattern;

/// The conditions of a route. All of them must hold; an empty one holds always.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The methods that it takes.
    pub methods: Vec<HttpMethod>,
    /// The headers that must be there.
    pub headers: IndexMap<ConditionHeader, TextPattern>,
    /// The parameters that the query must have.
    pub query: IndexMap<String, TextPattern>,
    /// The scheme that it takes.
    pub scheme: Option<Scheme>,
    /// The listeners whose requests it takes.
    pub listeners: Vec<Located<SocketAddr>>,
}

impl Conditions {
    /// Whether there is none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.methods.is_empty()
            && self.headers.is_empty()
            && self.query.is_empty()
            && self.scheme.is_none()
            && self.listeners.is_empty()
    }

    /// What of a request they do not take; `None` where all of them hold.
    #[must_use]
    pub fn mismatch(&self, request: &RouteRequest<'_>) -> Option<Mismatch<'_>> {
        let connection = request.connection;
        if !self.methods.is_empty() && !self.methods.iter().any(|method| method.get() == request.method) {
            return Some(Mismatch::Method);
        }
        if self.scheme.is_some_and(|scheme| (scheme == Scheme::Https) != connection.tls.is_some()) {
            return Some(Mismatch::Scheme);
        }
        let takes_listener = |listener: &Located<SocketAddr>| connection.listener == Some(listener.value);
        if !self.listeners.is_empty() && !self.listeners.iter().any(takes_listener) {
            return Some(Mismatch::Listener);
        }
        let mut headers = self.headers.iter();
        if let Some((name, _)) = headers.find(|(name, pattern)| !has_header(request.headers, &name.0, pattern)) {
            return Some(Mismatch::Header(name.0.as_str()));
        }
        let mut query = self.query.iter();
        let lacking = query.find(|(name, pattern)| !has_parameter(request.query, name, pattern));
        lacking.map(|(name, _)| Mismatch::Parameter(name))
    }

    /// Whether they hold wherever others hold; `false` also where that is hard to tell.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        covers_all(&self.methods, &others.methods, |method| method)
            && covers_all(&self.listeners, &others.listeners, |listener| &listener.value)
            && (self.scheme.is_none() || self.scheme == others.scheme)
            && self.headers.iter().all(|(name, one)| others.headers.get(name).is_some_and(|other| one.covers(other)))
            && self.query.iter().all(|(name, one)| others.query.get(name).is_some_and(|other| one.covers(other)))
    }
}

/// What of a request a route does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch<'a> {
    /// Its host.
    Host,
    /// Its path.
    Path,
    /// Its method.
    Method,
    /// Its scheme.
    Scheme,
    /// The listener that it came to.
    Listener,
    /// This header, which is not there, or has another value.
    Header(&'a str),
    /// This parameter of the query, which is not there, or has another value.
    Parameter(&'a str),
}

/// Whether a list, which stands for everything where it is empty, has all that another one has.
fn covers_all<T, K: PartialEq>(list: &[T], others: &[T], key: impl Fn(&T) -> &K) -> bool {
    list.is_empty() || !others.is_empty() && others.iter().all(|other| list.iter().any(|own| key(own) == key(other)))
}

/// Whether a header stands there with a value that the pattern takes. It may stand there several times.
fn has_header(headers: &HeaderMap, name: &HeaderName, pattern: &TextPattern) -> bool {
    headers.get_all(name).iter().any(|value| pattern.takes(value.as_bytes()))
}

/// Whether a query has a parameter with a value that the pattern takes. Names and values are compared decoded, as servers read them.
fn has_parameter(query: Option<&str>, name: &str, pattern: &TextPattern) -> bool {
    let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    parameters.any(|(key, value): (Cow<'_, str>, Cow<'_, str>)| key == name && pattern.takes(value.as_bytes()))
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ConditionHeader(HeaderName);

impl TryFrom<String> for ConditionHeader {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match HeaderName::try_from(&written) {
            Ok(http::header::HOST) => Err("`host` is matched by `hosts`".to_owned()),
            Ok(name) => Ok(Self(name)),
            Err(_) => Err(format!("`{written}` is not the name of a header")),
        }
    }
}

impl From<ConditionHeader> for String {
    fn from(name: ConditionHeader) -> Self {
        name.0.as_str().to_owned()
    }
}

/// The scheme of a request, by the connection that it comes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// In plain text.
    Http,
    /// Over TLS.
    Https,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_compared_as_a_server_reads_it() {
        let has = |query: &str, pattern: &str| {
            has_parameter(Some(query), "beta mode", &TextPattern::try_from(pattern.to_owned()).unwrap())
        };
        for (query, pattern, wanted) in [
            ("beta%20mode=a", "a", true),
            ("x=1&beta+mode=%61", "a", true),
            ("beta%20mode=b&beta%20mode=a", "a", true),
            ("beta%20mode", "", true),
            ("beta%20mode", "*", true),
            ("beta%20mode=ab", "a", false),
            ("beta%20mode=ab", "~ ^a", true),
            ("BETA%20MODE=a", "a", false),
            ("", "*", false),
        ] {
            assert_eq!(has(query, pattern), wanted, "{query} {pattern}");
        }
        assert!(!has_parameter(None, "a", &TextPattern::Any));
    }
}
