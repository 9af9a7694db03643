//! The settings of the plugin `access`: rules in the order in which the YAML writes them.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Action, Rule, Source};

const ALLOW: &str = "allow";
const DENY: &str = "deny";
const RULES: &str = "rules";
const KEYS: &[&str] = &[ALLOW, DENY, RULES];

/// Lets clients in or refuses them with 403 by their addresses. The first rule that has an address decides, in the order in which the
/// keys stand: `{ allow: [10.0.0.0/8], deny: [all] }`. An address that no rule has is let in.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "Written")]
pub struct Config(Vec<Rule>);

impl Config {
    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }
}

/// What may be written.
#[derive(JsonSchema)]
#[schemars(default, deny_unknown_fields)]
#[derive(Default)]
struct Written {
    /// Networks whose clients are let in.
    allow: Vec<Source>,
    /// Networks whose clients are refused.
    deny: Vec<Source>,
    /// Rules that take turns: `[{ deny: 10.1.2.3 }, { allow: 10.0.0.0/8 }, { deny: all }]`.
    rules: Vec<OneRule>,
}

/// One rule in a list of them.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OneRule {
    /// Clients there are let in.
    Allow(Source),
    /// Clients there are refused.
    Deny(Source),
}

impl From<OneRule> for Rule {
    fn from(rule: OneRule) -> Self {
        match rule {
            OneRule::Allow(source) => Self { action: Action::Allow, source },
            OneRule::Deny(source) => Self { action: Action::Deny, source },
        }
    }
}

impl From<&Rule> for OneRule {
    fn from(rule: &Rule) -> Self {
        match rule.action {
            Action::Allow => Self::Allow(rule.source),
            Action::Deny => Self::Deny(rule.source),
        }
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(RULES, &self.0.iter().map(OneRule::from).collect::<Vec<_>>())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{ALLOW}` and `{DENY}`, each with a list of networks")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut rules = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let of = |action| move |source| Rule { action, source };
            match &*key {
                ALLOW => rules.extend(map.next_value::<Vec<Source>>()?.into_iter().map(of(Action::Allow))),
                DENY => rules.extend(map.next_value::<Vec<Source>>()?.into_iter().map(of(Action::Deny))),
                RULES => rules.extend(map.next_value::<Vec<OneRule>>()?.into_iter().map(Rule::from)),
                other => return Err(A::Error::unknown_field(other, KEYS)),
            }
        }
        Ok(Config(rules))
    }
}
