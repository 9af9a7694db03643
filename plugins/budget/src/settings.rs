//! The settings of budgets, and what makes no sense about them.

use std::borrow::Cow;
use std::collections::HashMap;

use plugin_api::{ConfigProblem, Count, Period, SecretUrl};
use quota::{Estimates, TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::amounts::{Share, Unpriced, UsdRate};
use crate::by::By;

/// What one account takes of memory at most, in bytes, with its texts and its place in the map.
const BYTES_PER_ACCOUNT: u64 = 2048;

/// How much callers may spend, in US dollars by day, week or month.
///
/// What a call may cost is reserved before it is sent, and settled by the cost in the ledger's row. A call that does not fit is
/// refused with status 429 before any upstream hears of it. Needs `usage_log` on the same routes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The budgets. A call is held to all of them together.
    pub limits: Vec<BudgetConfig>,
    /// Whose midnights days, weeks and months begin at: a name of the IANA time zone database, such as `Europe/Berlin`.
    pub time_zone: TimeZone,
    /// What is reserved for an answer that is still to come.
    pub reserve: Reserve,
    /// What becomes of calls to a model without a price: `refuse`, `allow`, or the US dollars that each counts.
    pub unpriced: Unpriced,
    /// What becomes of calls as long as it is not known what was spent: at a start without a database and without a checkpoint.
    pub unknown: Unknown,
    /// How often the ledger's database is asked for what all gateways spent; less often where that takes it long.
    pub refresh: Period,
    /// How many callers are counted apart by each budget. More are counted as one.
    pub max_subjects: Count<16, 1_000_000>,
    /// Where alerts are posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A budget.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// Its name in messages, alerts and metrics. Absent: what `by` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What callers are told apart by: `key`, `tenant`, `user`, `model` or `all`, or a list of these. Callers without it are counted
    /// as one.
    pub by: By,
    /// US dollars by the span of time: `500/month`, `100/week`, `20/day`.
    pub usd: UsdRate,
    /// The shares at which an alert is raised, once for each caller and span of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Share>,
}

/// What is reserved for an answer that is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reserve {
    /// The price of what such calls usually use, but no more than the call asks for. A dearer call may pass the limit.
    #[default]
    Expected,
    /// The most that the call can cost: a token of input for each byte, and all tokens it asks for. A call that does not say how
    /// many is refused.
    MaxTokens,
}

/// What becomes of calls as long as it is not known what was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// They pass, and what they spend from then on is counted.
    #[default]
    Allow,
    /// They are refused with status 503.
    Refuse,
}

/// Where alerts are posted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The URL, `https://…` or `http://…`. It appears in no log and no metric.
    pub url: SecretUrl,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            time_zone: TimeZone::UTC,
            reserve: Reserve::default(),
            unpriced: Unpriced::default(),
            unknown: Unknown::default(),
            refresh: Period::from_secs(5),
            max_subjects: Count::clamped(20_000),
            webhook: None,
        }
    }
}

impl BudgetConfig {
    /// Its name.
    pub(crate) fn label(&self) -> Cow<'_, str> {
        self.name.as_deref().map_or_else(|| self.by.to_string().into(), Cow::Borrowed)
    }

    fn check(&self) -> Result<(), String> {
        if self.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 64) {
            return Err("has a `name` that is empty, or longer than 64 bytes".to_owned());
        }
        if self.by.repeats() {
            return Err("names the same twice in `by`".to_owned());
        }
        if self.alerts.len() > 16 {
            return Err("has more than 16 `alerts`".to_owned());
        }
        Ok(())
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigProblem> {
        if self.refresh < Period::from_millis(100) {
            return Err(format!("`refresh` is {}, below 100ms", self.refresh).into());
        }
        let mut known = HashMap::new();
        for (place, limit) in self.limits.iter().enumerate() {
            limit.check().map_err(|problem| format!("`limits[{place}]` {problem}"))?;
            if let Some(first) = known.insert((limit.label(), &limit.by, limit.usd.unit), place) {
                return Err(format!(
                    "`limits[{place}]` is for the same callers and the same span of time as `limits[{first}]`; give one of them a \
                     `name` of its own"
                )
                .into());
            }
        }
        Ok(())
    }
}

/// The most bytes that budgets with these settings hold together.
pub(crate) fn memory(configs: &[&Config]) -> u64 {
    let mut subjects = HashMap::new();
    for config in configs {
        for limit in &config.limits {
            let most = subjects.entry((limit.label(), &limit.by, limit.usd.unit)).or_insert(0);
            *most = u64::max(*most, config.max_subjects.get());
        }
    }
    if subjects.is_empty() { 0 } else { subjects.values().sum::<u64>() * BYTES_PER_ACCOUNT + Estimates::BYTES }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(config: Value) -> Result<(), String> {
        let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.check().map_err(|problem| problem.message().to_owned())
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        let limit = json!({ "by": "key", "usd": "20/day", "alerts": ["50%", "80%"] });
        assert_eq!(check(json!({ "limits": [limit], "webhook": { "url": "https://a.example/x" } })), Ok(()));
        let other = json!({ "by": ["key"], "usd": "500/month" });
        assert_eq!(check(json!({ "limits": [limit, other] })), Ok(()));
        for (config, words) in [
            (json!({ "limits": [limit, { "by": "key", "usd": "30/day" }] }), "the same callers"),
            (json!({ "limits": [{ "by": [], "usd": "1/day" }] }), "the list is empty"),
            (json!({ "limits": [{ "by": ["all", "key"], "usd": "1/day" }] }), "nothing else"),
            (json!({ "limits": [{ "by": ["key", "all"], "usd": "1/day" }] }), "nothing else"),
            (json!({ "limits": [{ "by": ["key", "key"], "usd": "1/day" }] }), "twice"),
            (json!({ "limits": [{ "by": "session", "usd": "1/day" }] }), "`session` is nothing that spending"),
            (json!({ "limits": [{ "by": "key", "usd": "1/day", "name": "" }] }), "`name`"),
            (json!({ "limits": [{ "by": "key" }] }), "usd"),
            (json!({ "refresh": "10ms" }), "below 100ms"),
            (json!({ "webhook": { "url": "ftp://a" } }), "wanted a URL"),
            (json!({ "time_zone": "Mars" }), "time zone"),
        ] {
            let problem = check(config).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
