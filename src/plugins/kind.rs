//! A plugin of the build without its types: what the gateway asks of it, and of its settings, before there is any request.
//! Its part in requests: [`PluginFactory`].

use std::any::Any;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use plugin_api::{
    BuildContext, CheckContext, Command, CommandContext, CommandError, ConfigProblem, PastRoute, Plugin, Quota, Replay,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::entry::PluginEntry;
use super::shared::{OneShared, PluginShared};
use super::switch::Switch;
use crate::chain::PluginFactory;

/// A plugin of the build, without its types; [`kind`] makes it. Its methods are the gateway's alone.
pub trait Kind: Send + Sync {
    /// Its key in the YAML.
    fn name(&self) -> &'static str;

    #[doc(hidden)]
    fn identifies(&self) -> bool;

    #[doc(hidden)]
    fn is_outermost(&self) -> bool;

    #[doc(hidden)]
    fn requires(&self) -> &'static [&'static str];

    #[doc(hidden)]
    fn read(&self, entry: &mut dyn erased_serde::Deserializer<'_>) -> erased_serde::Result<Switch<Arc<dyn Settings>>>;

    #[doc(hidden)]
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    #[doc(hidden)]
    fn shared(&self) -> Box<dyn OneShared>;

    #[doc(hidden)]
    fn memory(&self, settings: &[&dyn Settings]) -> u64;

    #[doc(hidden)]
    fn known_model(&self, model: &str) -> Option<&'static str>;

    #[doc(hidden)]
    fn commands(&self) -> Vec<PluginCommand>;
}

/// A plugin, for a list of them.
#[must_use]
pub const fn kind<P: Plugin>() -> &'static dyn Kind {
    &Of::<P>(PhantomData)
}

impl Debug for dyn Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

struct Of<P>(PhantomData<fn() -> P>);

impl<P: Plugin> Kind for Of<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn identifies(&self) -> bool {
        P::IDENTIFIES
    }

    fn is_outermost(&self) -> bool {
        P::OUTERMOST
    }

    fn requires(&self) -> &'static [&'static str] {
        P::REQUIRES
    }

    fn read(&self, entry: &mut dyn erased_serde::Deserializer<'_>) -> erased_serde::Result<Switch<Arc<dyn Settings>>> {
        Ok(match Switch::<P::Config>::deserialize(entry)? {
            Switch::Off => Switch::Off,
            Switch::On(config) => Switch::On(Arc::new(SettingsOf::<P>(config))),
        })
    }

    /// Explained by the first paragraph about its settings.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<Switch<P::Config>>();
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

    fn shared(&self) -> Box<dyn OneShared> {
        Box::new(Arc::new(P::Shared::default()))
    }

    fn memory(&self, settings: &[&dyn Settings]) -> u64 {
        P::memory(&settings.iter().filter_map(|settings| typed::<P>(*settings)).collect::<Vec<_>>())
    }

    fn known_model(&self, model: &str) -> Option<&'static str> {
        P::known_model(model)
    }

    fn commands(&self) -> Vec<PluginCommand> {
        P::commands().into_iter().map(PluginCommand::new::<P>).collect()
    }
}

/// The settings of a plugin, without their type.
pub trait Settings: erased_serde::Serialize + Any + Debug + Send + Sync {
    /// The models that they name, some of them by patterns.
    fn model_names(&self) -> Vec<&str>;

    /// The names for which the plugin chooses a model.
    fn routed_names(&self) -> Vec<&str>;

    /// Checks them as a whole; opens and keeps nothing.
    fn check(&self) -> Result<(), ConfigProblem>;

    /// Checks the files that they name; relative paths start from `base`.
    fn check_files(&self, base: &Path) -> Result<(), ConfigProblem>;

    /// The limits that they give callers of their own.
    fn grants_quotas(&self) -> Vec<Quota>;

    /// Whether the plugin holds callers to the limits that they have of their own.
    fn counts_quotas(&self) -> bool;

    /// A plugin that a route should have beside this one, and what is lacking without it.
    fn companion(&self, granted: &[Quota]) -> Option<(&'static str, &'static str)>;
    fn without_credential(&self) -> Option<&'static str>;

    /// What chooses models of past calls by them, if the plugin does.
    fn replay(&self) -> Option<Box<dyn Replay>>;

    /// Whether the plugin has the rows of which spans are made.
    fn makes_spans(&self) -> bool;

    /// Why they cannot be used beside others of the same plugin, if they cannot.
    fn conflict(&self, other: &dyn Settings, context: &CheckContext<'_>) -> Option<ConfigProblem>;

    /// The plugin with these settings.
    fn build(
        &self,
        base: &Path,
        shared: &PluginShared,
        secrets: &Arc<[Box<str>]>,
    ) -> Result<PluginFactory, ConfigProblem>;
}

erased_serde::serialize_trait_object!(Settings);

struct SettingsOf<P: Plugin>(P::Config);

/// The settings with their type, if they are this plugin's.
fn typed<P: Plugin>(settings: &dyn Settings) -> Option<&P::Config> {
    (settings as &dyn Any).downcast_ref::<SettingsOf<P>>().map(|settings| &settings.0)
}

impl<P: Plugin> Settings for SettingsOf<P> {
    fn model_names(&self) -> Vec<&str> {
        P::model_names(&self.0)
    }

    fn routed_names(&self) -> Vec<&str> {
        P::routed_names(&self.0)
    }

    fn check(&self) -> Result<(), ConfigProblem> {
        P::check(&self.0)
    }

    fn check_files(&self, base: &Path) -> Result<(), ConfigProblem> {
        P::check_files(&self.0, base)
    }

    fn grants_quotas(&self) -> Vec<Quota> {
        P::grants_quotas(&self.0)
    }

    fn counts_quotas(&self) -> bool {
        P::COUNTS_QUOTAS
    }

    fn without_credential(&self) -> Option<&'static str> {
        P::without_credential(&self.0)
    }

    fn companion(&self, granted: &[Quota]) -> Option<(&'static str, &'static str)> {
        P::companion(&self.0, granted)
    }

    fn replay(&self) -> Option<Box<dyn Replay>> {
        P::replay(&self.0)
    }

    fn makes_spans(&self) -> bool {
        P::NEEDS.trace
    }

    fn conflict(&self, other: &dyn Settings, context: &CheckContext<'_>) -> Option<ConfigProblem> {
        P::conflict(&self.0, typed::<P>(other)?, context)
    }

    fn build(
        &self,
        base: &Path,
        shared: &PluginShared,
        secrets: &Arc<[Box<str>]>,
    ) -> Result<PluginFactory, ConfigProblem> {
        let (common, explanations) = (shared.common(), shared.explanations());
        let shared = shared.of::<P>().ok_or("this plugin was not part of the build when the gateway started")?;
        let context = BuildContext { base, shared, secrets, common };
        match explanations {
            None => P::build(&self.0, &context).map(PluginFactory::new),
            Some(log) => {
                P::build_to_explain(&self.0, &context).map(|plugin| PluginFactory::explaining(plugin, log.clone()))
            }
        }
    }
}

impl<P: Plugin> Debug for SettingsOf<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<P: Plugin> serde::Serialize for SettingsOf<P> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A command that a plugin brings, without the types of its settings.
pub struct PluginCommand {
    /// Its name, its arguments and its help.
    pub clap: clap::Command,
    run: Box<Run>,
}

type Run = dyn Fn(&ArgMatches, &FileReader<'_>) -> Result<ExitCode, CommandError>;

/// Reads what commands ask of a configuration file.
pub struct FileReader<'a> {
    /// Its entries, of all its routes.
    pub entries: &'a dyn Fn(&Path) -> Result<Vec<PluginEntry>, String>,
    /// Its routes.
    pub routes: &'a dyn Fn(&Path) -> Result<Vec<PastRoute>, String>,
}

impl PluginCommand {
    fn new<P: Plugin>(command: Command<P::Config>) -> Self {
        let run = command.run;
        let run = move |matches: &ArgMatches, read: &FileReader<'_>| {
            let settings = |entry: &PluginEntry| entry.settings_of(kind::<P>()).and_then(typed::<P>).cloned();
            let load = |file: &Path| Ok((read.entries)(file)?.iter().filter_map(settings).collect());
            run(matches, &CommandContext::new(&load, read.routes))
        };
        Self { clap: command.clap, run: Box::new(run) }
    }

    /// Runs it. `read` reads configuration files.
    ///
    /// # Errors
    /// What keeps it from its answer.
    pub fn run(&self, matches: &ArgMatches, read: &FileReader<'_>) -> Result<ExitCode, CommandError> {
        (self.run)(matches, read)
    }
}
