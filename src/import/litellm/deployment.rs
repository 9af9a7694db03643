//! One entry of `model_list`: a model's name for callers, and a place where it is served.

use prices::Price;

use super::super::LeftOut;
use super::super::secrets::Secrets;
use super::super::section::Section;
use super::budgets::{self, Budget};
use super::provider::{Auth, Provider};
use super::{plain, reference, variable};

/// A place where a model is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deployment {
    /// The name that callers use, or a pattern.
    pub(super) group: String,
    /// Its place in the file.
    pub(super) place: String,
    /// The provider's name.
    pub(super) provider: &'static str,
    /// The server, as the YAML writes it.
    pub(super) address: String,
    /// The headers that the server gets: names and values.
    pub(super) headers: Vec<(String, String)>,
    /// The model's name there.
    pub(super) model: String,
    /// Its share of the calls for the group.
    pub(super) weight: Option<u64>,
    /// Requests and tokens a minute.
    pub(super) limits: (Option<u64>, Option<u64>),
    /// What its calls may cost.
    pub(super) budget: Option<Budget>,
    /// What its tokens cost, where the file says so.
    pub(super) price: Option<Price>,
    /// The time for a call, in seconds.
    pub(super) timeout: Option<u64>,
}

impl Deployment {
    /// Reads an entry; `None` where it cannot be served, which is left out.
    pub(super) fn read(mut entry: Section, secrets: &mut Secrets, left_out: &mut LeftOut) -> Option<Self> {
        let place = entry.place().to_owned();
        let group = entry.text("model_name");
        let mut params = entry.within("litellm_params");
        let model = params.text("model");
        let (Some(group), Some(model)) = (group, model) else {
            left_out.add(&place, "it lacks `model_name` or `litellm_params.model`");
            return None;
        };
        let custom = params.text("custom_llm_provider");
        let base = params.text("api_base").or_else(|| params.text("base_url"));
        let found = Provider::of(&model, custom.as_deref(), base.is_some()).and_then(|(provider, model)| {
            let base = base.as_deref().or(provider.base);
            let base = base.ok_or_else(|| format!("`{}` needs an `api_base`", provider.name))?;
            Ok((provider, model, address(base)?))
        });
        let (provider, model, address) = match found {
            Ok(found) => found,
            Err(why) => {
                left_out.add(&format!("{place} (`{group}`)"), &why);
                return None;
            }
        };
        if group.contains('*') && model != group {
            let why =
                format!("names that `{group}` takes would have to become `{model}`; only single names can be renamed");
            left_out.add(&place, &why);
            return None;
        }
        if base.as_deref().is_some_and(|base| variable(base).is_some()) {
            left_out.add(
                &params.place_of("api_base"),
                "the variable must hold a URL without a path, such as `https://host`",
            );
        }
        let key = params.text("api_key").map(|key| reference(&key, secrets));
        let key = key.or_else(|| provider.key.map(|name| format!("${{{name}}}")));
        let mut headers = credentials(provider.auth, key);
        if let Some(organization) = params.text("organization") {
            headers.push(("openai-organization".to_owned(), plain(&organization)));
        }
        for key in ["extra_headers", "headers"] {
            let Some(serde_json::Value::Object(extra)) = params.take(key) else { continue };
            for (name, value) in extra {
                headers.extend(value.as_str().map(|value| (name.to_ascii_lowercase(), reference(value, secrets))));
            }
        }
        let mut info = entry.within("model_info");
        let deployment = Self {
            weight: params.number("weight"),
            limits: (params.number("rpm"), params.number("tpm")),
            budget: Budget::take(&mut params, "max_budget", "budget_duration"),
            price: budgets::price(&mut params, &mut info, left_out),
            timeout: params.number("timeout"),
            group,
            provider: provider.name,
            address,
            headers,
            model,
            place,
        };
        for without_effect in ["id", "mode", "description", "base_model"] {
            info.take(without_effect);
        }
        for section in [params, info, entry] {
            section.finish(left_out);
        }
        Some(deployment)
    }

    /// Its share of the calls, as `LiteLLM` has it: by weight, else by its limits.
    pub(super) fn share(&self) -> u64 {
        self.weight.or(self.limits.0).or(self.limits.1).unwrap_or(1).max(1)
    }
}

/// The headers that carry a key; the client's own does not travel on.
fn credentials(auth: Auth, key: Option<String>) -> Vec<(String, String)> {
    let (name, value, other) = match (auth, key) {
        (Auth::Bearer, Some(key)) => ("authorization", format!("Bearer {key}"), "x-api-key"),
        (Auth::ApiKey, Some(key)) => ("x-api-key", key, "authorization"),
        (Auth::Nowhere, _) | (_, None) => return Vec::new(),
    };
    vec![(name.to_owned(), value), (other.to_owned(), "off".to_owned())]
}

/// The server that an address of `LiteLLM`'s names. Callers' paths begin with `/v1`, so that an address may end so.
///
/// # Errors
/// That there is another path in it.
fn address(base: &str) -> Result<String, String> {
    if let Some(name) = variable(base) {
        return Ok(format!("${{{name}}}"));
    }
    let trimmed = base.trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/v1").unwrap_or(trimmed);
    let (scheme, rest) = trimmed.split_once("://").unwrap_or(("http", trimmed));
    if rest.contains('/') {
        return Err(format!("its API lies below the path of `{base}`, which calls cannot be given here"));
    }
    let address = format!("{scheme}://{rest}");
    address.parse::<crate::balance::ServerAddress>().map(|_| address)
}
