//! The settings of limits, and what makes no sense about them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};

use plugin_api::{ConfigProblem, Count, Quota, Rate, Window};
use quota::{BYTES_PER_LEASE, BYTES_PER_METER, Estimates, TimeZone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::by::{By, Descriptor};
use crate::meters::{OWN_METERS, OWN_WINDOWS};
use crate::redis::{OnRedisDown, RedisConfig};
use crate::rules::Measure;
use crate::sums::BYTES_PER_SUBJECT;

/// How many requests, tokens and calls in progress callers may have.
///
/// What a call may use is reserved before it is sent, and settled by what the provider reported once it is over. A call is held
/// to all limits together; one that does not fit is refused with status 429 before any upstream hears of it. Keys that have
/// limits of their own are held to these too.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The limits.
    pub limits: Vec<LimitConfig>,
    /// What is reserved of limits on tokens for an answer that is still to come.
    pub reserve: Reserve,
    /// How much a token counts, by its class.
    pub weights: Weights,
    /// Whose midnights days and months begin at: a name of the IANA time zone database, such as `Europe/Berlin`.
    pub time_zone: TimeZone,
    /// Whether answers from a cache count as those of an upstream do.
    pub charge_hits: bool,
    /// How many tokens are reserved for a call whose body cannot be read.
    pub unreadable_tokens: Count<1, 1_000_000_000>,
    /// How many callers are counted apart by each limit. Of more, those that have nothing left to drain make way; where there
    /// are none, newcomers are counted as one.
    pub max_subjects: Count<16, 10_000_000>,
    /// The Redis through which gateways share the limits. Absent: each gateway counts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisConfig>,
    /// What happens while Redis does not answer.
    pub on_redis_down: OnRedisDown,
}

/// A limit, or several for the same callers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Its name in messages and metrics. Limits of the same name, on whatever routes, share their counts where they count the same.
    /// Absent: what `by` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What callers are told apart by: `key`, `tenant`, `user`, `session`, `model`, `client_ip`, `header:NAME` or `all`, or a list of
    /// these. Callers without it are counted as one.
    pub by: By,
    /// Requests by the span of time: `100/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Rate>,
    /// The most requests at once after a pause. Absent: as many as `requests` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU64>,
    /// Tokens by the span of time, input and output, each by the weight of its class: `400000/m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Rate>,
    /// Calls in progress at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
}

/// What is reserved of limits on tokens for an answer that is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reserve {
    /// What 19 of 20 answers to the key by that model had at most, but no more than the call asks for. 4096 tokens, until 20
    /// answers are known. A longer answer leaves a debt, which is paid before the next call.
    #[default]
    Expected,
    /// All that the call asks for, so that no answer can be longer. A call that does not say waits until nothing else is used.
    MaxTokens,
}

/// How much a token counts, by its class.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Input from no cache.
    pub input: Weight,
    /// Input read from the provider's cache.
    pub cache_read: Weight,
    /// Input written to the provider's cache.
    pub cache_write: Weight,
    /// Output, reasoning included.
    pub output: Weight,
}

/// A number of 0 to 1000, to three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Weight(pub(crate) u64);

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            reserve: Reserve::default(),
            weights: Weights::default(),
            time_zone: TimeZone::UTC,
            charge_hits: false,
            unreadable_tokens: Count::clamped(4096),
            max_subjects: Count::clamped(20_000),
            redis: None,
            on_redis_down: OnRedisDown::default(),
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self { input: Weight(1000), cache_read: Weight(100), cache_write: Weight(1250), output: Weight(1000) }
    }
}

impl LimitConfig {
    /// Its name.
    pub(crate) fn label(&self) -> Cow<'_, str> {
        self.name.as_deref().map_or_else(|| self.by.to_string().into(), Cow::Borrowed)
    }

    /// How much it allows.
    pub(crate) fn quota(&self) -> Quota {
        Quota { requests: self.requests, burst: self.burst, tokens: self.tokens, concurrent: self.concurrent }
    }

    fn check(&self) -> Result<(), String> {
        if self.quota().is_unlimited() {
            return Err("limits nothing: none of `requests`, `tokens` and `concurrent` is given".to_owned());
        }
        if let Some(name) = &self.name
            && (name.is_empty() || name.len() > 64)
        {
            return Err("has a `name` that is empty, or longer than 64 bytes".to_owned());
        }
        match &self.by.0[..] {
            [] => return Err("has an empty list for `by`; for all callers together write `by: all`".to_owned()),
            [_] => {}
            several if several.contains(&Descriptor::All) => {
                return Err("goes by `all` and something else, which is the same as without `all`".to_owned());
            }
            several if (1..several.len()).any(|place| several[..place].contains(&several[place])) => {
                return Err("names the same twice in `by`".to_owned());
            }
            _ => {}
        }
        match (self.burst, self.requests) {
            (Some(_), None) => Err("has `burst`, which is for `requests`, and no `requests`".to_owned()),
            (Some(_), Some(Rate { window: Window::Day | Window::Month, .. })) => {
                Err("has `burst`, but of a day or a month all may be used at once".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What it counts: two that count the same share their counts.
    fn counts(&self) -> impl Iterator<Item = (Measure, Option<Window>)> {
        let requests = self.requests.map(|rate| (Measure::Requests, Some(rate.window)));
        let tokens = self.tokens.map(|rate| (Measure::Tokens, Some(rate.window)));
        let concurrent = self.concurrent.map(|_| (Measure::Concurrent, None));
        requests.into_iter().chain(tokens).chain(concurrent)
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigProblem> {
        let mut known = HashMap::new();
        for (place, limit) in self.limits.iter().enumerate() {
            limit.check().map_err(|problem| format!("`limits[{place}]` {problem}"))?;
            for counts in limit.counts() {
                if let Some(first) = known.insert((limit.label(), &limit.by, counts), place) {
                    return Err(format!(
                        "`limits[{place}]` counts `{}` for the same time as `limits[{first}]` and has the same name; give one of them a \
                         `name` of its own",
                        counts.0.reason()
                    )
                    .into());
                }
            }
        }
        self.redis.as_ref().map_or(Ok(()), |redis| redis.check(self)).map_err(ConfigProblem::from)
    }

    /// The most bytes that one meter takes.
    fn bytes_per_meter(&self) -> u64 {
        BYTES_PER_METER + if self.redis.is_some() { BYTES_PER_LEASE } else { 0 }
    }

    /// The most bytes of what outlives a restart, for a caller's days or months of one limit.
    fn bytes_per_sum(&self) -> u64 {
        if self.redis.is_some() { 0 } else { BYTES_PER_SUBJECT }
    }
}

/// Whether it counts by day or month.
pub(crate) fn has_windows(quota: &Quota) -> bool {
    [quota.requests, quota.tokens].into_iter().flatten().any(|rate| is_saved(rate.window))
}

/// Whether counts of this span of time outlive a restart.
pub(crate) fn is_saved(window: Window) -> bool {
    matches!(window, Window::Day | Window::Month)
}

/// The most bytes that limits with these settings hold together.
pub(crate) fn memory(configs: &[&Config]) -> u64 {
    let mut meters = HashMap::new();
    for config in configs {
        for limit in &config.limits {
            for counts in limit.counts() {
                let bytes = meters.entry((limit.label(), &limit.by, counts)).or_insert(0);
                let sums = if counts.1.is_some_and(is_saved) { config.bytes_per_sum() } else { 0 };
                *bytes = u64::max(*bytes, config.max_subjects.get() * (config.bytes_per_meter() + sums));
            }
        }
    }
    let own = |config: &&Config| {
        config.max_subjects.get() * (OWN_METERS * config.bytes_per_meter() + OWN_WINDOWS * config.bytes_per_sum())
    };
    let Some(own) = configs.iter().map(own).max() else { return 0 };
    meters.values().sum::<u64>() + own + Estimates::BYTES
}

impl TryFrom<f64> for Weight {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        if !(0.0..=1000.0).contains(&number) {
            return Err(format!("`{number}` is not a weight; wanted a number of 0 to 1000"));
        }
        Ok(Self((number * 1000.0).round() as u64))
    }
}

impl From<Weight> for f64 {
    fn from(weight: Weight) -> Self {
        weight.0 as f64 / 1000.0
    }
}

impl JsonSchema for Weight {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1000 })
    }
}
