//! One entry of `plugins:` in the YAML: the name of a plugin, with its settings or `off`.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use plugin_api::{CheckContext, ConfigProblem, Quota, Replay};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeSeed, EnumAccess, Error, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::all;
use super::kind::{Kind, Settings};
use super::shared::PluginShared;
use super::switch::{OFF, Switch};
use crate::chain::PluginFactory;

/// One entry of `plugins:`. The key is the plugin, the value its settings, or `off` on a route.
#[derive(Clone, Debug)]
pub struct PluginEntry {
    kind: &'static dyn Kind,
    settings: Switch<Arc<dyn Settings>>,
}

impl PluginEntry {
    /// Its key in the YAML.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Whether it finds out who calls.
    #[must_use]
    pub fn identifies(&self) -> bool {
        self.kind.identifies()
    }

    /// Whether it looks at messages whoever sends them.
    #[must_use]
    pub fn is_outermost(&self) -> bool {
        self.kind.is_outermost()
    }

    /// Whether it says `off`.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.settings.on().is_none()
    }

    /// The plugins that a route must have beside it.
    #[must_use]
    pub fn requires(&self) -> &'static [&'static str] {
        self.kind.requires()
    }

    /// The models that its settings name, some of them by patterns.
    #[must_use]
    pub fn model_names(&self) -> Vec<&str> {
        self.settings.on().map(|settings| settings.model_names()).unwrap_or_default()
    }

    /// Checks its settings as a whole; opens and keeps nothing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        self.settings.on().map_or(Ok(()), |settings| settings.check())
    }

    /// Checks the files that its settings name; relative paths start from `base`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_files(&self, base: &Path) -> Result<(), ConfigProblem> {
        self.settings.on().map_or(Ok(()), |settings| settings.check_files(base))
    }

    /// The limits that it gives callers of their own, which another plugin has to count.
    #[must_use]
    pub fn grants_quotas(&self) -> Vec<Quota> {
        self.settings.on().map_or_else(Vec::new, |settings| settings.grants_quotas())
    }

    /// Whether it holds callers to the limits that they have of their own.
    #[must_use]
    pub fn counts_quotas(&self) -> bool {
        self.settings.on().is_some_and(|settings| settings.counts_quotas())
    }

    /// A plugin that a route should have beside it, and what is lacking without that. The route gives callers these limits of their own.
    #[must_use]
    pub fn companion(&self, granted: &[Quota]) -> Option<(&'static str, &'static str)> {
        self.settings.on().and_then(|settings| settings.companion(granted))
    }

    /// The names for which the plugin chooses a model.
    #[must_use]
    pub fn routed_names(&self) -> Vec<&str> {
        self.settings.on().map(|settings| settings.routed_names()).unwrap_or_default()
    }

    /// What chooses models of past calls, if the plugin does.
    #[must_use]
    pub fn replay(&self) -> Option<Box<dyn Replay>> {
        self.settings.on()?.replay()
    }

    /// What is lacking on a route to an upstream without a credential of its own.
    #[must_use]
    pub fn without_credential(&self) -> Option<&'static str> {
        self.settings.on().and_then(|settings| settings.without_credential())
    }

    /// Whether it has the rows of which spans are made.
    #[must_use]
    pub fn makes_spans(&self) -> bool {
        self.settings.on().is_some_and(|settings| settings.makes_spans())
    }

    /// Why it cannot be used beside another entry of the same file, if it cannot.
    #[must_use]
    pub fn conflict(&self, other: &Self, context: &CheckContext<'_>) -> Option<ConfigProblem> {
        self.settings.on()?.conflict(&**other.settings.on()?, context)
    }

    /// The plugin, ready to serve; `None` if it is off. Relative paths start from `base`; `secrets` are the configuration's own
    /// credentials.
    ///
    /// # Errors
    /// What is wrong with its settings as a whole, or keeps it from working.
    pub fn build(
        &self,
        base: &Path,
        shared: &PluginShared,
        secrets: &Arc<[Box<str>]>,
    ) -> Result<Option<PluginFactory>, ConfigProblem> {
        self.settings.on().map(|settings| settings.build(base, shared, secrets)).transpose()
    }

    /// Its settings, if it is an entry of this plugin and not off.
    pub(super) fn settings_of(&self, kind: &dyn Kind) -> Option<&dyn Settings> {
        self.settings.on().filter(|_| self.name() == kind.name()).map(|settings| &**settings)
    }
}

/// The names of the plugins of this build.
fn names() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&str>> = OnceLock::new();
    NAMES.get_or_init(|| all().iter().map(|kind| kind.name()).collect())
}

impl Serialize for PluginEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let index = names().iter().position(|name| *name == self.name()).unwrap_or_default() as u32;
        match self.settings.on() {
            Some(settings) => serializer.serialize_newtype_variant("plugin", index, self.name(), &**settings),
            None => serializer.serialize_newtype_variant("plugin", index, self.name(), OFF),
        }
    }
}

impl<'de> Deserialize<'de> for PluginEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("plugin", names(), EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = PluginEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a plugin, with its settings")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<PluginEntry, A::Error> {
        let (name, settings) = choice.variant::<String>()?;
        let kind = all().iter().find(|kind| kind.name() == name);
        let kind = *kind.ok_or_else(|| A::Error::unknown_variant(&name, names()))?;
        Ok(PluginEntry { kind, settings: settings.newtype_variant_seed(SettingsSeed(kind))? })
    }
}

/// Reads the settings of this plugin.
struct SettingsSeed(&'static dyn Kind);

impl<'de> DeserializeSeed<'de> for SettingsSeed {
    type Value = Switch<Arc<dyn Settings>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.read(&mut <dyn erased_serde::Deserializer<'_>>::erase(deserializer)).map_err(D::Error::custom)
    }
}

impl JsonSchema for PluginEntry {
    fn schema_name() -> Cow<'static, str> {
        "plugin".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let choices: Vec<Schema> = all().iter().map(|kind| kind.schema(generator)).collect();
        json_schema!({
            "description": "One entry of `plugins:`. The key is the plugin, the value its settings, or `off` on a route.",
            "oneOf": choices,
        })
    }
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
        let error = serde_json::from_str::<PluginEntry>(r#"{"max_token":{}}"#).unwrap_err().to_string();
        assert!(error.contains("unknown variant `max_token`"), "{error}");
    }

    #[test]
    fn every_plugin_is_named_once_and_explained_in_the_schema() {
        let mut names = names().to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
        let schema = schemars::schema_for!(PluginEntry).to_value();
        for (kind, choice) in all().iter().zip(schema["oneOf"].as_array().unwrap()) {
            assert!(choice["properties"].get(kind.name()).is_some(), "{choice}");
            assert!(choice["description"].as_str().is_some_and(|about| about.len() > 20), "{choice}");
        }
    }
}
