//! The settings of one server: where it is, how much it takes, and when it is left out.

use plugin_api::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ServerAddress;

/// One server of an upstream. The words and their meaning are those of nginx's `server`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// `host:port`, `http://host[:port]` or `https://host[:port]`. A name with several addresses is as many servers, which
    /// share the weight; each has the other settings for itself.
    #[schemars(with = "String")]
    pub address: ServerAddress,
    /// Its share of the requests, against the weights of the others.
    #[serde(default)]
    pub weight: Weight,
    /// How many failures within `fail_timeout` eject it. 0: it is never ejected.
    #[serde(default = "one")]
    pub max_fails: u32,
    /// Within what time failures add up, and how long the first ejection lasts; every further one lasts twice as long.
    #[serde(default = "ten_seconds")]
    pub fail_timeout: Period,
    /// The most requests in flight on it, in the whole process. 0: any number.
    #[serde(default)]
    pub max_conns: u32,
    /// Over what time its weight grows from a tenth to the full one after it was added or has returned. 0s: at once.
    #[serde(default = "at_once")]
    pub slow_start: Period,
    /// Takes requests only while no other server can.
    #[serde(default)]
    pub backup: bool,
    /// Takes no requests at all.
    #[serde(default)]
    pub down: bool,
}

fn one() -> u32 {
    1
}

fn ten_seconds() -> Period {
    Period::from_secs(10)
}

fn at_once() -> Period {
    Period::from_secs(0)
}

/// A weight of 1 to 65,535, as nginx has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
#[schemars(extend("minimum" = 1, "maximum" = 65535))]
pub struct Weight(u16);

impl Weight {
    /// As a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.into()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u64> for Weight {
    type Error = String;

    fn try_from(weight: u64) -> Result<Self, String> {
        match u16::try_from(weight) {
            Ok(0) => Err("weight is 0; it must be at least 1 (to take a server out, remove it)".into()),
            Ok(weight) => Ok(Self(weight)),
            Err(_) => Err(format!("weight is {weight}; it must be at most 65535")),
        }
    }
}
