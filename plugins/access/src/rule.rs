//! One rule: which addresses, and what becomes of them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use networks::Network;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

const ALL: &str = "all";

/// What becomes of the clients at some addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What.
    pub action: Action,
    /// Which addresses.
    pub source: Source,
}

/// Whether clients are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are.
    Allow,
    /// They are refused.
    Deny,
}

/// Some addresses: a network, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// Every client, also one without an address.
    All,
    /// Those in a network.
    In(Network),
}

impl Source {
    /// Whether a client's address is among them.
    #[must_use]
    pub fn has(&self, client: Option<IpAddr>) -> bool {
        match self {
            Self::All => true,
            Self::In(network) => client.is_some_and(|client| network.contains(client)),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::In(_), Self::All) => false,
            (Self::In(network), Self::In(other)) => network.covers(other),
        }
    }
}

/// The first rule that can never apply, and the one before it that has all of its addresses.
pub(crate) fn unreachable(rules: &[Rule]) -> Option<(Rule, Rule)> {
    rules.iter().enumerate().find_map(|(at, rule)| {
        let earlier = rules[..at].iter().find(|earlier| earlier.source.covers(&rule.source))?;
        Some((*rule, *earlier))
    })
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == ALL {
            return Ok(Self::All);
        }
        text.parse().map(Self::In).map_err(|error: String| match text.contains(['.', ':']) {
            true => error,
            false => format!("{error}, or `{ALL}`"),
        })
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::In(network) => write!(f, "{network}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        };
        write!(f, "{action} {}", self.source)
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A network such as `10.0.0.0/8`, one address, or `all`.",
        })
    }
}
