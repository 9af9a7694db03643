//! The Redis through which gateways share limits, as the YAML writes it.

use std::time::Duration;

use plugin_api::Period;
use quota::OnSilence;
use quota_leases::LeaseConfig;
use redis_link::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::{Config, LimitConfig};

/// The longest `timeout`: a call may wait so long.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest amount that Redis counts exactly, with room for what is above it.
const LARGEST_AMOUNT: u64 = 1_000_000_000_000;

/// The Redis through which gateways share their limits. They count together where `prefix`, and the `name`, `by`, span of time and
/// time zone of a limit are the same.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Its address: `redis://host:6379/0`, or `rediss://` for TLS; credentials as `user:password@` before the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Some nodes of a Redis Cluster, in place of `url`. The other nodes are discovered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    /// How long a call waits for Redis at most.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// The prefix of all keys.
    #[serde(default = "prefix")]
    pub prefix: String,
}

/// What happens to calls that do not fit into what a gateway has of a limit while Redis does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRedisDown {
    /// Each gateway goes on with its part of what was left.
    #[default]
    Local,
    /// They are admitted.
    Allow,
    /// They are refused with status 503.
    Refuse,
}

fn timeout() -> Period {
    Period::from_millis(20)
}

fn prefix() -> String {
    "tollgate".into()
}

impl RedisConfig {
    /// How limits are shared through it.
    pub(crate) fn leases(&self, on_down: OnRedisDown) -> LeaseConfig {
        let address = match &self.url {
            Some(url) => Address::Server(url.clone()),
            None => Address::Cluster(self.cluster.clone()),
        };
        let on_silence = match on_down {
            OnRedisDown::Local => OnSilence::Local,
            OnRedisDown::Allow => OnSilence::Allow,
            OnRedisDown::Refuse => OnSilence::Refuse,
        };
        LeaseConfig { address, timeout: self.timeout.get(), prefix: self.prefix.clone(), on_silence }
    }

    pub(crate) fn check(&self, config: &Config) -> Result<(), String> {
        match (&self.url, self.cluster.is_empty()) {
            (None, true) => return Err("`redis` wants `url`, or `cluster`".into()),
            (Some(_), false) => return Err("`redis` has both `url` and `cluster`, wanted one of them".into()),
            (Some(url), true) => address("redis.url", url)?,
            (None, false) => self.cluster.iter().try_for_each(|url| address("redis.cluster", url))?,
        }
        if self.timeout.get().is_zero() || self.timeout.get() > LONGEST_TIMEOUT {
            return Err(format!("`redis.timeout` is {}, wanted more than 0s and at most 10s", self.timeout));
        }
        let too_large = |limit: &LimitConfig| {
            let rates = [limit.requests, limit.tokens].into_iter().flatten().map(|rate| rate.amount);
            rates.chain(limit.burst).any(|amount| amount.get() > LARGEST_AMOUNT)
        };
        match config.limits.iter().position(too_large) {
            Some(place) => {
                Err(format!("`limits[{place}]` has an amount above {LARGEST_AMOUNT}, which `redis` cannot count"))
            }
            None => Ok(()),
        }
    }
}

fn address(setting: &str, url: &str) -> Result<(), String> {
    Address::check(url).map_err(|problem| format!("`{setting}` {problem}"))
}
