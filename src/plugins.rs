//! The plugins this build has: the only file that names them.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chain::Installed;

/// What plugins keep beyond the configuration that names them.
#[derive(Debug)]
pub struct Lasting {
    /// Answers to be given again, and calls that can be joined.
    pub caches: Arc<response_cache::Caches>,
    /// The ledgers: their journals, and what empties them.
    pub ledgers: usage_log::Ledgers,
}

impl Default for Lasting {
    fn default() -> Self {
        Self { caches: response_cache::Caches::new(), ledgers: usage_log::Ledgers::default() }
    }
}

impl Lasting {
    /// The figures that plugins count, whatever configuration is at work.
    #[must_use]
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(response_cache::CacheCollector::new(&self.caches)),
            Box::new(usage_log::LedgerCollector::new(&self.ledgers)),
        ]
    }

    /// Removes kept answers: of this tenant, and to this model, where they are named. How many there were here, and whether
    /// other gateways know; `None` where nothing is shared.
    pub async fn purge_cache(&self, tenant: Option<String>, model: Option<String>) -> (u64, Option<bool>) {
        let purged = self.caches.purge(response_cache::Purge { tenant, model }).await;
        (purged.entries, purged.told)
    }

    /// Finishes what is under way, after the last request and before the process ends; takes no longer than this.
    pub fn finish(&self, patience: Duration) {
        self.ledgers.finish(patience);
    }
}

/// Where plugins are installed.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// What relative paths start from.
    pub base: &'a Path,
    /// What plugins kept so far.
    pub lasting: &'a Lasting,
}

/// One entry of `plugins:`. The key is the plugin, the value its settings, or `off` on a route.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename = "plugin", rename_all = "snake_case")]
pub enum PluginEntry {
    /// Refuses or clamps calls that ask for more tokens than allowed.
    MaxTokens(Switch<max_tokens::Config>),
    /// Answers repeated calls again, and makes one call of the same ones under way.
    ResponseCache(Switch<response_cache::Config>),
    /// Keeps one row per request in a ledger.
    UsageLog(Switch<Box<usage_log::Config>>),
}

impl PluginEntry {
    /// Its key in the YAML.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MaxTokens(_) => <max_tokens::MaxTokens as plugin_api::Plugin>::NAME,
            Self::ResponseCache(_) => <response_cache::ResponseCache as plugin_api::Plugin>::NAME,
            Self::UsageLog(_) => <usage_log::UsageLog as plugin_api::Plugin>::NAME,
        }
    }

    /// Whether it says `off`.
    #[must_use]
    pub fn is_off(&self) -> bool {
        match self {
            Self::MaxTokens(switch) => matches!(switch, Switch::Off),
            Self::ResponseCache(switch) => matches!(switch, Switch::Off),
            Self::UsageLog(switch) => matches!(switch, Switch::Off),
        }
    }

    /// The ledger that it keeps, where it keeps one.
    #[must_use]
    pub fn ledger(&self) -> Option<&usage_log::Config> {
        match self {
            Self::UsageLog(Switch::On(config)) => Some(config),
            _ => None,
        }
    }

    /// How many answers its cache may keep in memory, and their bytes, where it has one. Caches with the same bounds are one.
    #[must_use]
    pub fn cache_bounds(&self) -> Option<(u64, u64)> {
        match self {
            Self::ResponseCache(Switch::On(config)) => Some((config.memory.max_entries, config.memory.max_bytes.get())),
            _ => None,
        }
    }

    /// The models that its settings name, some of them by patterns.
    #[must_use]
    pub fn model_names(&self) -> Vec<&str> {
        match self {
            Self::MaxTokens(Switch::On(config)) => config.models.keys().map(String::as_str).collect(),
            Self::UsageLog(Switch::On(config)) => config.prices.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Checks its settings as a whole; opens and keeps nothing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::MaxTokens(Switch::On(config)) => config.build().map(drop),
            Self::ResponseCache(Switch::On(config)) => config.check(),
            Self::UsageLog(Switch::On(config)) => config.check(),
            Self::MaxTokens(Switch::Off) | Self::ResponseCache(Switch::Off) | Self::UsageLog(Switch::Off) => Ok(()),
        }
    }

    /// The plugin, ready to serve; `None` if it is off.
    ///
    /// # Errors
    /// What is wrong with its settings as a whole, or keeps it from beginning.
    pub fn install(&self, site: &Site<'_>) -> Result<Option<Installed>, String> {
        Ok(match self {
            Self::MaxTokens(Switch::On(config)) => Some(Installed::new(config.build()?)),
            Self::ResponseCache(Switch::On(config)) => Some(Installed::new(site.lasting.caches.install(config)?)),
            Self::UsageLog(Switch::On(config)) => Some(Installed::new(config.build(site.base, &site.lasting.ledgers)?)),
            Self::MaxTokens(Switch::Off) | Self::ResponseCache(Switch::Off) | Self::UsageLog(Switch::Off) => None,
        })
    }
}

/// The name by which the table of published prices knows a model, if it does.
#[must_use]
pub fn priced_model(model: &str) -> Option<&'static str> {
    usage_log::published_name(model)
}

/// What stands in the place of settings to take a plugin out of a route.
const OFF: &str = "off";

/// The settings of a plugin, or `off`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Switch<T> {
    /// Not on this route.
    #[serde(serialize_with = "off")]
    #[schemars(with = "OffWord")]
    Off,
    /// With these settings.
    On(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its settings, or `{OFF}`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Switch<T>, E> {
        if word == OFF { Ok(Switch::Off) } else { Err(E::invalid_value(Unexpected::Str(word), &self)) }
    }

    /// Nothing beneath the name: no setting at all.
    fn visit_unit<E: Error>(self) -> Result<Switch<T>, E> {
        self.visit_map(MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
    }

    fn visit_map<A: MapAccess<'de>>(self, settings: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(settings)).map(Switch::On)
    }
}

fn off<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(OFF)
}

/// The word `off`, for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
enum OffWord {
    /// Not on this route.
    #[schemars(rename = "off")]
    #[expect(dead_code, reason = "only its name in the schema is of use")]
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_its_settings_or_off_and_writes_itself_the_same() {
        for text in
            [r#"{"max_tokens":"off"}"#, r#"{"max_tokens":{"limit":4000,"mode":"reject","error_format":"dialect"}}"#]
        {
            let entry: PluginEntry = serde_json::from_str(text).unwrap();
            assert_eq!((entry.name(), entry.is_off()), ("max_tokens", text.contains("off")));
            assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        }
        let error = serde_json::from_str::<PluginEntry>(r#"{"max_tokens":"on"}"#).unwrap_err().to_string();
        assert!(error.contains("its settings, or `off`"), "{error}");
    }
}
