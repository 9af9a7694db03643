//! The rule by which a server is chosen, as the YAML names it.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Consistent hashing with bounded loads.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HashSettings {
    /// What is hashed: `client_ip`, `header:NAME`, or `body:PATH` for a field of the JSON body (`body:metadata.user_id`).
    /// A request without it goes where `least_conn` would send it.
    pub key: HashKey,
    /// How many times its fair share of what is in flight a server may have, rounded up, before the next one takes over. So
    /// while little is in flight, a second request of a key at the same time may go elsewhere.
    #[serde(default)]
    pub bound: Bound,
}

/// The part of a request that is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum HashKey {
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
            format!("`{written}` is not a key: {why}; write `client_ip`, `header:NAME` or `body:metadata.user_id`")
        };
        match written.split_once(':') {
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
