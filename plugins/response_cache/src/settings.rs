//! The settings of the cache and their checks. Opens no connection.

use std::time::Duration;

use http::HeaderName;
use plugin_api::{ByteSize, Endpoint, Period};
use redis_link::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers repeated calls without the upstream.
///
/// A stored answer is served only to the same tenant for an identical call: the same host, upstream, path, API headers and JSON
/// body. The order of keys, white space, and fields that do not affect the answer (`metadata.user_id`, `user`) do not count. Only
/// complete answers with status 200 are stored. Calls with server-side tools or state bypass the cache, as do calls whose client
/// forbids caching (`cache-control: no-store` or `no-cache`). The response header `x-cache` reports what the cache did.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long an answer may be served; with `redis` at most 31 days.
    pub ttl: Period,
    /// The largest body that is stored.
    pub max_entry: ByteSize,
    /// The answers that each gateway stores in its own memory.
    pub memory: MemoryConfig,
    /// The answers that gateways share in Redis. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisConfig>,
    /// The paths whose calls are cached, as their API names them. A prefix before them does not count.
    pub paths: Vec<String>,
    /// Who shares answers.
    pub scope: Scope,
    /// Further request headers in which identical calls must agree, beside `origin` and those that begin with `anthropic-` or
    /// `openai-`.
    pub vary: Vec<String>,
    /// Whether identical calls in flight share one upstream call.
    pub coalesce: Coalesce,
    /// What happens to a call when all its clients have disconnected.
    #[serde(alias = "on_all_gone")]
    pub on_clients_disconnected: OnClientsDisconnected,
}

impl Default for Config {
    fn default() -> Self {
        let paths = DEFAULT_PATHS.map(str::to_owned).into();
        Self {
            ttl: Period::from_secs(600),
            max_entry: ByteSize::mebibytes(1),
            memory: MemoryConfig::default(),
            redis: None,
            paths,
            scope: Scope::default(),
            vary: Vec::new(),
            coalesce: Coalesce::default(),
            on_clients_disconnected: OnClientsDisconnected::default(),
        }
    }
}

const DEFAULT_PATHS: [&str; 5] =
    ["/v1/messages", "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"];

/// How long Redis remembers purges. No shared answer may be stored for longer.
pub(crate) const REMEMBER: Duration = Duration::from_secs(31 * 24 * 3600);

/// The upper bound of `memory.max_entries`.
const MOST_ENTRIES: u64 = 1_000_000_000;

/// The memory tier of one gateway.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// The number of answers. Beyond it, the least recently used one is evicted.
    pub max_entries: u64,
    /// Their memory in all.
    pub max_bytes: ByteSize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_entries: 1000, max_bytes: ByteSize::mebibytes(256) }
    }
}

/// A Redis that gateways share. A request waits for it at most `timeout`, and not at all while it is known to fail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Its address: `redis://host:6379/0`, or `rediss://` for TLS; credentials as `user:password@` before the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Some nodes of a Redis Cluster, in place of `url`. The other nodes are discovered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    /// How long a request waits for Redis at most.
    #[serde(default = "timeout")]
    #[schemars(with = "Period")]
    pub timeout: RedisTimeout,
    /// The number of connections. A large answer delays only the lookups on its own connection. A `cluster` always has one
    /// connection to each node.
    #[serde(default = "connections")]
    pub connections: u8,
    /// The prefix of all keys. Gateways with the same prefix share answers and purges.
    #[serde(default = "prefix")]
    pub prefix: String,
}

/// A [`Period`] that can be compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "Period", into = "Period")]
pub struct RedisTimeout(Duration);

impl RedisTimeout {
    pub(crate) fn get(self) -> Duration {
        self.0
    }
}

impl From<Period> for RedisTimeout {
    fn from(period: Period) -> Self {
        Self(period.get())
    }
}

impl From<RedisTimeout> for Period {
    fn from(timeout: RedisTimeout) -> Self {
        Self::from_millis(u64::try_from(timeout.0.as_millis()).unwrap_or(u64::MAX))
    }
}

fn timeout() -> RedisTimeout {
    RedisTimeout(Duration::from_millis(20))
}

fn connections() -> u8 {
    2
}

fn prefix() -> String {
    "tollgate".into()
}

/// Which callers are one tenant. Answers are never shared between tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The callers with the same credentials: `authorization`, `x-api-key`, and every other header that by its name may hold one.
    /// Calls without credentials bypass the cache.
    #[default]
    Credential,
    /// The callers of one tenant, as the plugin above that identifies callers knows it. Calls without a tenant bypass the cache.
    Tenant,
    /// The callers of one tenant with the same key, by its name, whichever of its secrets or tokens they have. Calls without a key that is known
    /// bypass the cache.
    Key,
    /// The calls with the same value of this header, which only a trusted proxy in front of the gateway may set. Calls without it
    /// bypass the cache. The upstream does not check the credentials of a call that is answered from the cache.
    Header(String),
    /// All callers of the route, as one tenant with this name. The upstream does not check the credentials of a call that is
    /// answered from the cache.
    Name(String),
}

/// Whether identical calls in flight share one upstream call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coalesce {
    /// They share one upstream call and its answer as it arrives. A client that reads too slowly is disconnected, since it would
    /// delay the others.
    #[default]
    On,
    /// Each call goes upstream.
    Off,
}

/// What happens to a call when all its clients have disconnected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnClientsDisconnected {
    /// It is canceled.
    #[default]
    Cancel,
    /// It is read to its end and its answer is stored. The provider bills it in full.
    Fill,
}

impl Config {
    /// Checks the settings as a whole.
    ///
    /// # Errors
    /// The first setting that is wrong, and why.
    pub fn check(&self) -> Result<(), String> {
        if self.ttl.get().is_zero() {
            return Err("`ttl` is 0s, so no answer could ever be given again".into());
        }
        if self.redis.is_some() && self.ttl.get() > REMEMBER {
            return Err("`ttl` is above 31d, for which purges are remembered in `redis`".into());
        }
        if self.memory.max_entries == 0 {
            return Err("`memory.max_entries` is 0, wanted at least 1".into());
        }
        if self.memory.max_entries > MOST_ENTRIES {
            return Err(format!("`memory.max_entries` is {}, wanted at most {MOST_ENTRIES}", self.memory.max_entries));
        }
        if self.max_entry > self.memory.max_bytes {
            let (entry, all) = (self.max_entry, self.memory.max_bytes);
            return Err(format!("`max_entry` is {entry}, above `memory.max_bytes`, which is {all}"));
        }
        self.endpoints()?;
        self.vary_names()?;
        match &self.scope {
            Scope::Header(name) => drop(header_name("scope.header", name)?),
            Scope::Name(name) if name.is_empty() => return Err("`scope.name` is empty".into()),
            Scope::Name(_) | Scope::Credential | Scope::Tenant | Scope::Key => {}
        }
        self.redis.as_ref().map_or(Ok(()), RedisConfig::check)
    }

    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, String> {
        if self.paths.is_empty() {
            return Err("`paths` is empty, so no call could ever be answered".into());
        }
        let endpoint = |path: &String| match Endpoint::of(path) {
            Some(endpoint) if endpoint.is_batch() => {
                Err(format!("`paths` names `{path}`, but batches are never answered again"))
            }
            Some(endpoint) if !endpoint.is_repeatable => {
                Err(format!("`paths` names `{path}`, whose answers are never given again"))
            }
            Some(endpoint) if path.starts_with('/') => Ok(endpoint),
            _ => Err(format!("`paths` names `{path}`, which is no path of calls to a model, such as `/v1/messages`")),
        };
        self.paths.iter().map(endpoint).collect()
    }

    pub(crate) fn vary_names(&self) -> Result<Vec<HeaderName>, String> {
        self.vary.iter().map(|name| header_name("vary", name)).collect()
    }
}

impl RedisConfig {
    /// Whether both name the same answers in the same Redis.
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        (&self.url, &self.cluster, &self.prefix) == (&other.url, &other.cluster, &other.prefix)
    }

    fn check(&self) -> Result<(), String> {
        match (&self.url, self.cluster.is_empty()) {
            (None, true) => return Err("`redis` wants `url`, or `cluster`".into()),
            (Some(_), false) => return Err("`redis` has both `url` and `cluster`, wanted one of them".into()),
            (Some(url), true) => address("redis.url", url)?,
            (None, false) => self.cluster.iter().try_for_each(|url| address("redis.cluster", url))?,
        }
        if self.timeout.get().is_zero() {
            return Err("`redis.timeout` is 0s, so no answer could ever come in time".into());
        }
        if self.connections == 0 {
            return Err("`redis.connections` is 0, wanted at least 1".into());
        }
        Ok(())
    }
}

fn address(setting: &str, url: &str) -> Result<(), String> {
    Address::check(url).map_err(|problem| format!("`{setting}` {problem}"))
}

fn header_name(setting: &str, name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{setting}` names `{name}`, which cannot be the name of a header"))
}
