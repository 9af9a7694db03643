//! A `LiteLLM` proxy's `config.yaml` → a configuration. `LiteLLM` translates between APIs; what is made here passes calls on, so that callers
//! speak the API of the model's provider.

mod budgets;
mod deployment;
mod plugins;
mod provider;
mod upstreams;

use located_yaml::Reader;
use serde_json::{Map, Value, json};

use super::secrets::Secrets;
use super::section::Section;
use super::{Imported, LeftOut, comments, yaml};
use deployment::Deployment;
use upstreams::{Groups, Rule, Upstreams};

/// Where `LiteLLM` listens unless it is told otherwise.
const LISTENER: &str = "0.0.0.0:4000";

/// Makes a configuration of the text of a file of this name.
///
/// # Errors
/// That it is not YAML, or has no model that can be served.
pub(super) fn import(name: &str, text: &str) -> Result<Imported, String> {
    // a variable stays what it is
    let unchanged = |variable: &str| Some(format!("${{{variable}}}"));
    let document = Reader::new(&unchanged).read::<Value>(name, text, |_, _| {}).map_err(|errors| errors.to_string())?;
    let mut file = Section::new(String::new(), Some(document.value));
    let mut left_out = LeftOut::default();
    let mut secrets = Secrets::new("LITELLM");

    let deployments = file.take("model_list").into_iter().flat_map(|list| match list {
        Value::Array(list) => list,
        _ => Vec::new(),
    });
    let read = |(at, entry)| {
        Deployment::read(Section::new(format!("model_list[{at}]"), Some(entry)), &mut secrets, &mut left_out)
    };
    let deployments: Vec<Deployment> = deployments.enumerate().filter_map(read).collect();
    let (mut litellm, mut router) = (file.within("litellm_settings"), file.within("router_settings"));
    let mut general = file.within("general_settings");

    let groups = Groups::new(&deployments, &mut litellm, &mut router, &mut left_out);
    let mut upstreams = Upstreams::new(&mut litellm, &mut router);
    let rules = groups.rules(&mut upstreams, &mut left_out);
    let Some(own) = own_upstream(&rules) else {
        return Err(format!("{name}: no model in it can be served: {}", left_out.into_lines().join("; ")));
    };
    let sections = [&mut litellm, &mut router, &mut general];
    let plugins = plugins::of(&deployments, &groups, &rules, sections, &mut secrets, &mut left_out);

    if !plugins.iter().any(|plugin| plugin.get("api_keys").is_some()) {
        left_out.add("general_settings.master_key", "there is none, so that anybody may call; see `api_keys`");
    }
    if rules.iter().all(|rule| rule.pattern != "*") {
        let why = format!("models that are not in it go to the upstream `{own}`, where LiteLLM answers 400");
        left_out.add("model_list", &why);
    }
    for section in [litellm, router, general, file] {
        section.finish(&mut left_out);
    }
    secrets.say(&mut left_out);

    let models: Vec<Value> = rules.iter().filter(|rule| rule.pattern != "*").map(Rule::entry).collect();
    let mut route = Map::from_iter([("upstream".to_owned(), json!(own))]);
    if !models.is_empty() {
        route.insert("models".to_owned(), models.into());
    }
    let mut config = json!({ "listeners": [{ "address": LISTENER }], "upstreams": upstreams.into_yaml() });
    if !plugins.is_empty() {
        config["plugins"] = plugins.into();
    }
    config["routes"] = json!([route]);
    let left_out = left_out.into_lines();
    let passes = "Calls pass as they are: callers speak the API of the provider of their model.";
    let lines = std::iter::once(passes.to_owned()).chain(left_out.iter().map(|line| format!("Left out: {line}")));
    Ok(Imported { yaml: comments::with("litellm", name, lines) + &yaml::write(&config), left_out })
}

/// The upstream of the route: that of `*`, or else that of the first model.
fn own_upstream(rules: &[Rule]) -> Option<String> {
    let for_all = rules.iter().find(|rule| rule.pattern == "*");
    for_all.or(rules.first()).map(|rule| rule.upstream.clone())
}

/// A secret as this file's YAML refers to it: `os.environ/NAME` as `${NAME}`, and one that stands there itself as a variable made up for
/// it.
fn reference(value: &str, secrets: &mut Secrets) -> String {
    variable(value).map_or_else(|| secrets.reference(value), |name| format!("${{{name}}}"))
}

/// The name of the variable that a value of `LiteLLM`'s refers to.
fn variable(value: &str) -> Option<&str> {
    value.strip_prefix("os.environ/").map(str::trim).filter(|name| !name.is_empty())
}

/// A value that is no secret: a variable's, or the text.
fn plain(value: &str) -> String {
    variable(value).map_or_else(|| value.to_owned(), |name| format!("${{{name}}}"))
}

#[cfg(test)]
mod tests;
