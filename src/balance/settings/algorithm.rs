//! The rule by which a server is chosen, as the YAML names it.

use std::fmt;

use http::HeaderName;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How a server is chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// The fewest requests in flight per weight, counted to the last byte of the answer; among equals by turns
    /// (nginx's `least_conn`).
    #[default]
    LeastConn,
    /// By turns, in proportion to the weights and as evenly spread as they allow (nginx's default).
    RoundRobin,
    /// The fewest tokens asked for (`max_tokens`) per weight by the requests in flight; a request that does not say counts
    /// as 4096.
    LeastTokens,
    /// The shortest wait to expect for a first byte: a moving average of it that follows peaks at once, times the requests
    /// in flight, per weight. Failures count as long waits.
    PeakEwma,
    /// The same key to the same server as long as it is not overloaded: keeps a prompt cache warm.
    Hash(HashSettings),
}

/// Consistent hashing with bounded loads: the key alone (`hash: session`), or `{ key: …, bound: … }`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(with = "Written")]
pub struct HashSettings {
    /// What is hashed.
    pub key: HashKey,
    /// How many times its fair share of what is in flight a server may have, rounded up, before the next one takes over.
    pub bound: Bound,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Written {
    /// What is hashed.
    Key(HashKey),
    /// What is hashed, and the bound.
    Full(Full),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Full {
    /// What is hashed: `session` for the session of the call, or else its user, as `attribution` finds them; `client_ip`,
    /// `header:NAME`, or `body:PATH` for a field of the JSON body (`body:metadata.user_id`). A request without it goes where
    /// `least_conn` would send it.
    #[serde(default)]
    key: HashKey,
    /// How many times its fair share of what is in flight a server may have, rounded up, before the next one takes over. So
    /// while little is in flight, a second request of a key at the same time may go elsewhere.
    #[serde(default)]
    bound: Bound,
}

impl<'de> Deserialize<'de> for HashSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HashVisitor)
    }
}

struct HashVisitor;

impl<'de> Visitor<'de> for HashVisitor {
    type Value = HashSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is hashed, such as `session`, or a mapping with `key`")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<HashSettings, E> {
        let key = HashKey::try_from(key.to_owned()).map_err(E::custom)?;
        Ok(HashSettings { key, bound: Bound::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HashSettings, A::Error> {
        let Full { key, bound } = Full::deserialize(MapAccessDeserializer::new(map))?;
        Ok(HashSettings { key, bound })
    }
}

/// The part of a request that is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum HashKey {
    /// The session that the call belongs to, or else its user.
    #[default]
    Session,
    /// The client's address.
    ClientIp,
    /// The value of this header.
    Header(HeaderName),
    /// The field of the JSON body at this path.
    Body(Vec<String>),
}

impl TryFrom<String> for HashKey {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{written}` is not a key: {why}; write `session`, `client_ip`, `header:NAME` or `body:metadata.user_id`"
            )
        };
        match written.split_once(':') {
            None if written == "session" => Ok(Self::Session),
            None if written == "client_ip" => Ok(Self::ClientIp),
            Some(("header", name)) => {
                name.parse().map(Self::Header).map_err(|_| wrong("what follows is not the name of a header"))
            }
            Some(("body", path)) if path.split('.').all(|name| !name.is_empty()) => {
                Ok(Self::Body(path.split('.').map(str::to_owned).collect()))
            }
            Some(("body", _)) => Err(wrong("a name in the path is empty")),
            _ => Err(wrong("its source is unknown")),
        }
    }
}

impl From<HashKey> for String {
    fn from(key: HashKey) -> Self {
        match key {
            HashKey::Session => "session".into(),
            HashKey::ClientIp => "client_ip".into(),
            HashKey::Header(name) => format!("header:{name}"),
            HashKey::Body(path) => format!("body:{}", path.join(".")),
        }
    }
}

/// How many times its fair share, 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64", extend("minimum" = 1, "maximum" = 10))]
pub struct Bound(f64);

impl Bound {
    /// As a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Bound {
    fn default() -> Self {
        Self(1.25)
    }
}

impl TryFrom<f64> for Bound {
    type Error = String;

    fn try_from(bound: f64) -> Result<Self, String> {
        if (1.0..=10.0).contains(&bound) {
            return Ok(Self(bound));
        }
        Err(format!("bound is {bound}; it must be 1 (no more than its share) to 10"))
    }
}

impl From<Bound> for f64 {
    fn from(bound: Bound) -> Self {
        bound.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_its_key_or_a_mapping_and_hashes_sessions_by_itself() {
        let read = |json: &str| serde_json::from_str::<Algorithm>(json).map_err(|error| error.to_string());
        let hash = |key, bound| Ok(Algorithm::Hash(HashSettings { key, bound: Bound(bound) }));
        assert_eq!(read(r#"{"hash":"session"}"#), hash(HashKey::Session, 1.25));
        assert_eq!(read(r#"{"hash":{}}"#), hash(HashKey::Session, 1.25));
        assert_eq!(read(r#"{"hash":"client_ip"}"#), hash(HashKey::ClientIp, 1.25));
        assert_eq!(
            read(r#"{"hash":{"key":"body:a.b","bound":2}}"#),
            hash(HashKey::Body(vec!["a".into(), "b".into()]), 2.0)
        );
        assert!(read(r#"{"hash":"cookie"}"#).unwrap_err().contains("its source is unknown"));
        let text = serde_json::to_string(&read(r#"{"hash":"session"}"#).unwrap()).unwrap();
        assert_eq!(text, r#"{"hash":{"key":"session","bound":1.25}}"#);
    }
}
