//! What the list of plugins becomes: the entries of `plugins:` in the YAML, what plugins keep across reloads, and what they
//! offer to the rest of the gateway. Knows none of them by name.

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use plugin_api::{Command, CommandContext, CommandError, Plugin};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::PluginEntry;
use super::switch::Switch;
use crate::config;

/// Makes [`PluginEntry`](super::PluginEntry), [`PluginShared`](super::PluginShared) and what belongs to them of a list of
/// types: `a_crate::ItsPlugin, …`, each perhaps behind a `#[cfg(…)]`.
macro_rules! plugins {
    ($($(#[$attribute:meta])* $krate:ident :: $plugin:ident),* $(,)?) => {
        use std::fmt;
        use std::path::Path;
        use std::sync::Arc;
        use std::time::Instant;

        use plugin_api::{AdminRoute, BuildContext, CheckContext, ConfigProblem, Plugin, Shared};
        use prometheus::core::Collector;
        use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
        use serde::de::{EnumAccess, Error, VariantAccess, Visitor};
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use crate::chain::PluginFactory;
        use switch::Switch;

        /// The keys of the plugins in the YAML.
        const NAMES: &[&str] = &[$($(#[$attribute])* <$krate::$plugin as Plugin>::NAME),*];

        /// What plugins keep across reloads.
        #[derive(Default)]
        pub struct PluginShared {
            $($(#[$attribute])* $krate: Arc<<$krate::$plugin as Plugin>::Shared>,)*
        }

        impl PluginShared {
            /// What `/metrics` shows of plugins, whatever configuration is in force.
            #[must_use]
            pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
                [$($(#[$attribute])* self.$krate.collectors()),*].into_iter().flatten().collect()
            }

            /// What plugins answer on the admin listener.
            #[must_use]
            pub fn admin_routes(&self) -> Vec<AdminRoute> {
                [$($(#[$attribute])* self.$krate.admin_routes()),*].into_iter().flatten().collect()
            }

            /// Finishes what is under way, after the last request and before the process ends. Blocks until the deadline at
            /// most.
            pub fn finish(&self, deadline: Instant) {
                $($(#[$attribute])* self.$krate.finish(deadline);)*
            }
        }

        /// One entry of `plugins:`. The key is the plugin, the value its settings, or `off` on a route.
        #[derive(Clone, Debug)]
        pub enum PluginEntry {
            $(
                $(#[$attribute])*
                #[doc = concat!("[`", stringify!($krate), "`]")]
                $plugin(Switch<Box<<$krate::$plugin as Plugin>::Config>>),
            )*
        }

        impl PluginEntry {
            /// Its key in the YAML.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $($(#[$attribute])* Self::$plugin(_) => <$krate::$plugin as Plugin>::NAME,)*
                }
            }

            /// Whether it says `off`.
            #[must_use]
            pub fn is_off(&self) -> bool {
                match self {
                    $($(#[$attribute])* Self::$plugin(switch) => matches!(switch, Switch::Off),)*
                }
            }

            /// The models that its settings name, some of them by patterns.
            #[must_use]
            pub fn model_names(&self) -> Vec<&str> {
                match self {
                    $($(#[$attribute])* Self::$plugin(switch) => {
                        switch.on().map(<$krate::$plugin as Plugin>::model_names).unwrap_or_default()
                    })*
                }
            }

            /// Checks its settings as a whole; opens and keeps nothing.
            ///
            /// # Errors
            /// What is wrong with them.
            pub fn check(&self) -> Result<(), ConfigProblem> {
                match self {
                    $($(#[$attribute])* Self::$plugin(switch) => switch.on().map_or(Ok(()), <$krate::$plugin as Plugin>::check),)*
                }
            }

            /// Checks the files that its settings name; relative paths start from `base`.
            ///
            /// # Errors
            /// What is wrong with them.
            pub fn check_files(&self, base: &Path) -> Result<(), ConfigProblem> {
                match self {
                    $($(#[$attribute])* Self::$plugin(switch) => {
                        switch.on().map_or(Ok(()), |config| <$krate::$plugin as Plugin>::check_files(config, base))
                    })*
                }
            }

            /// Why it cannot be used beside another entry of the same file, if it cannot.
            #[must_use]
            pub fn conflict(&self, other: &Self, context: &CheckContext<'_>) -> Option<ConfigProblem> {
                match (self, other) {
                    $($(#[$attribute])* (Self::$plugin(own), Self::$plugin(others)) => {
                        <$krate::$plugin as Plugin>::conflict(own.on()?, others.on()?, context)
                    })*
                    _ => None,
                }
            }

            /// The plugin, ready to serve; `None` if it is off. Relative paths start from `base`; `secrets` are the
            /// configuration's own credentials.
            ///
            /// # Errors
            /// What is wrong with its settings as a whole, or keeps it from working.
            pub fn build(
                &self,
                base: &Path,
                shared: &PluginShared,
                secrets: &Arc<[Box<str>]>,
            ) -> Result<Option<PluginFactory>, ConfigProblem> {
                match self {
                    $($(#[$attribute])* Self::$plugin(switch) => {
                        let Some(config) = switch.on() else { return Ok(None) };
                        let context = BuildContext { base, shared: &shared.$krate, secrets };
                        <$krate::$plugin as Plugin>::build(config, &context).map(|plugin| Some(PluginFactory::new(plugin)))
                    })*
                }
            }
        }

        /// The most bytes that the plugins of these entries hold together.
        #[must_use]
        pub fn memory<'a>(entries: impl Iterator<Item = &'a PluginEntry> + Clone) -> u64 {
            let held = [$($(#[$attribute])* {
                let settings = entries.clone().filter_map(|entry| match entry {
                    PluginEntry::$plugin(switch) => switch.on(),
                    _ => None,
                });
                <$krate::$plugin as Plugin>::memory(&settings.collect::<Vec<_>>())
            }),*];
            held.into_iter().fold(0, u64::saturating_add)
        }

        /// The name by which a plugin knows a model without any settings, if one does.
        #[must_use]
        pub fn known_model(model: &str) -> Option<&'static str> {
            let known: &[fn(&str) -> Option<&'static str>] =
                &[$($(#[$attribute])* <$krate::$plugin as Plugin>::known_model),*];
            known.iter().find_map(|known| known(model))
        }

        /// The commands that plugins bring.
        #[must_use]
        pub fn commands() -> Vec<PluginCommand> {
            let mut all = Vec::new();
            $($(#[$attribute])* {
                fn settings(entry: &PluginEntry) -> Option<&<$krate::$plugin as Plugin>::Config> {
                    match entry {
                        PluginEntry::$plugin(switch) => switch.on(),
                        _ => None,
                    }
                }
                let commands = <$krate::$plugin as Plugin>::commands().into_iter();
                all.extend(commands.map(|command| PluginCommand::new(command, settings)));
            })*
            all
        }

        impl Serialize for PluginEntry {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let index = NAMES.iter().position(|name| *name == self.name()).unwrap_or_default() as u32;
                match self {
                    $($(#[$attribute])* Self::$plugin(switch) => {
                        serializer.serialize_newtype_variant("plugin", index, self.name(), switch)
                    })*
                }
            }
        }

        impl<'de> Deserialize<'de> for PluginEntry {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_enum("plugin", NAMES, EntryVisitor)
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
                match name {
                    $($(#[$attribute])* name if name == <$krate::$plugin as Plugin>::NAME => {
                        settings.newtype_variant().map(PluginEntry::$plugin)
                    })*
                    name => Err(A::Error::unknown_variant(&name, NAMES)),
                }
            }
        }

        impl JsonSchema for PluginEntry {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                "plugin".into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let choices = [$($(#[$attribute])* registry::choice::<$krate::$plugin>(generator)),*];
                json_schema!({
                    "description": "One entry of `plugins:`. The key is the plugin, the value its settings, or `off` on a route.",
                    "oneOf": choices,
                })
            }
        }
    };
}

pub(super) use plugins;

/// A command that a plugin brings, without the types of its settings.
pub struct PluginCommand {
    /// Its name, its arguments and its help.
    pub clap: clap::Command,
    run: Box<Run>,
}

type Run = dyn Fn(&ArgMatches) -> Result<ExitCode, CommandError>;

impl PluginCommand {
    /// A command for the settings that this function finds in an entry.
    pub(super) fn new<C: Clone + 'static>(command: Command<C>, of: fn(&PluginEntry) -> Option<&C>) -> Self {
        let run = command.run;
        let load = move |file: &Path| {
            let config = config::load(file).map_err(|errors| errors.to_string())?;
            let entries = config.plugins.iter().chain(config.routes.iter().flat_map(|route| &route.plugins));
            Ok(entries.filter_map(|entry| of(entry)).cloned().collect())
        };
        Self { clap: command.clap, run: Box::new(move |matches| run(matches, &CommandContext::new(&load))) }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What keeps it from its answer.
    pub fn run(&self, matches: &ArgMatches) -> Result<ExitCode, CommandError> {
        (self.run)(matches)
    }
}

/// The schema of one plugin's entry, explained by the first paragraph about its settings.
pub(super) fn choice<P: Plugin>(generator: &mut SchemaGenerator) -> Schema {
    let settings = generator.subschema_for::<Switch<Box<P::Config>>>();
    let about = <P::Config as JsonSchema>::json_schema(generator);
    let about = about.get("description").and_then(|about| about.as_str()).unwrap_or_default();
    let about = about.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let mut properties = serde_json::Map::new();
    properties.insert(P::NAME.to_owned(), settings.to_value());
    json_schema!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": [P::NAME],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use crate::plugins::{NAMES, PluginEntry};

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
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        let schema = schemars::schema_for!(PluginEntry).to_value();
        for (name, choice) in NAMES.iter().zip(schema["oneOf"].as_array().unwrap()) {
            assert!(choice["properties"].get(name).is_some(), "{choice}");
            assert!(choice["description"].as_str().is_some_and(|about| about.len() > 20), "{choice}");
        }
    }
}
