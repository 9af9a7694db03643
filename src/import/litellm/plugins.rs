//! What `LiteLLM` does beside passing calls on → plugins: keys, limits, the cache.

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::super::LeftOut;
use super::super::section::Section;
use super::deployment::Deployment;
use super::{Secrets, plain, variable};

/// The plugins of every route, top to bottom.
pub(super) fn of(
    deployments: &[Deployment],
    litellm: &mut Section,
    general: &mut Section,
    secrets: &mut Secrets,
    left_out: &mut LeftOut,
) -> Vec<Value> {
    let mut plugins = Vec::new();
    if let Some(key) = general.text("master_key") {
        plugins.push(json!({ "api_keys": { "keys": [{ "name": "master", "sha256": hash(&key, left_out) }] } }));
    }
    if general.take("database_url").is_some() {
        left_out.add("general_settings.database_url", "LiteLLM's keys, teams and spend are in its database; make keys with `tollgate key new`, and see `usage_log`");
    }
    plugins.push(json!({ "model_list": {} }));
    let mut limits = Vec::new();
    if let Some(most) = general.number("global_max_parallel_requests").filter(|most| *most > 0) {
        limits.push(json!({ "by": "all", "concurrent": most }));
    }
    limits.extend(by_model(deployments, left_out));
    if !limits.is_empty() {
        plugins.push(json!({ "rate_limit": { "limits": limits } }));
    }
    budgets(litellm, left_out);
    plugins.extend(cache(litellm, secrets, left_out));
    plugins
}

/// The SHA-256 of the master key. Of a variable only the operator knows it.
fn hash(key: &str, left_out: &mut LeftOut) -> String {
    let Some(name) = variable(key) else {
        return digest(&SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    };
    let why = format!("set {name}_SHA256 to what `printf %s \"${name}\" | sha256sum` prints");
    left_out.add("general_settings.master_key", &why);
    format!("${{{name}_SHA256}}")
}

/// The limit of each model, where all models have the same: `by: model` knows no other.
fn by_model(deployments: &[Deployment], left_out: &mut LeftOut) -> Option<Value> {
    let mut groups: Vec<(&str, (u64, u64))> = Vec::new();
    for one in deployments {
        let (requests, tokens) = (one.limits.0.unwrap_or(0), one.limits.1.unwrap_or(0));
        match groups.iter_mut().find(|(name, _)| *name == one.group) {
            Some((_, sum)) => *sum = (sum.0.saturating_add(requests), sum.1.saturating_add(tokens)),
            None => groups.push((&one.group, (requests, tokens))),
        }
    }
    let (_, first) = *groups.first()?;
    if groups.iter().any(|(_, sum)| *sum != first) {
        for (name, (requests, tokens)) in groups.iter().filter(|(_, sum)| *sum != (0, 0)) {
            let why = format!(
                "rpm {requests}, tpm {tokens}: a limit by model is the same for all models; give the model a route with a `rate_limit` of its own"
            );
            left_out.add(&format!("model_list (`{name}`)"), &why);
        }
        return None;
    }
    let mut limit = Map::from_iter([("by".to_owned(), "model".into())]);
    for (key, amount) in [("requests", first.0), ("tokens", first.1)] {
        if amount > 0 {
            limit.insert(key.to_owned(), format!("{amount}/m").into());
        }
    }
    (limit.len() > 1).then(|| limit.into())
}

fn budgets(litellm: &mut Section, left_out: &mut LeftOut) {
    let (most, duration) = (litellm.text("max_budget"), litellm.text("budget_duration"));
    if let Some(most) = most {
        let per = duration.map_or_else(String::new, |duration| format!(" per {duration}"));
        let why = format!("{most} USD{per} in all: see the `budget` plugin, which counts by calendar days and months");
        left_out.add("litellm_settings.max_budget", &why);
    }
}

fn cache(litellm: &mut Section, secrets: &mut Secrets, left_out: &mut LeftOut) -> Option<Value> {
    let is_on = litellm.take("cache").is_some_and(|cache| cache == true);
    let mut params = litellm.within("cache_params");
    let kind = params.text("type").unwrap_or_else(|| "local".to_owned());
    if !is_on {
        return None;
    }
    let mut settings = Map::new();
    if let Some(ttl) = params.number("ttl").filter(|ttl| *ttl > 0) {
        settings.insert("ttl".to_owned(), format!("{ttl}s").into());
    }
    match kind.as_str() {
        "local" => {}
        "redis" => {
            let url = params.text("url").map(|url| secrets.reference(&url)).unwrap_or_else(|| {
                let host = plain(&params.text("host").unwrap_or_else(|| "os.environ/REDIS_HOST".to_owned()));
                let port = plain(&params.text("port").unwrap_or_else(|| "6379".to_owned()));
                let password = params.text("password").map(|password| format!(":{}@", secrets.reference(&password)));
                format!("redis://{}{host}:{port}", password.unwrap_or_default())
            });
            let mut redis = Map::from_iter([("url".to_owned(), url.into())]);
            redis.extend(params.text("namespace").map(|prefix| ("prefix".to_owned(), plain(&prefix).into())));
            settings.insert("redis".to_owned(), redis.into());
        }
        other => {
            let why = format!("a cache of the type `{other}` has no counterpart; answers are kept in memory");
            left_out.add("litellm_settings.cache_params.type", &why);
        }
    }
    params.finish(left_out);
    left_out.add(
        "litellm_settings.cache",
        "LiteLLM shares answers among all callers; here each key has its own, see `scope` of `response_cache`",
    );
    Some(json!({ "response_cache": settings }))
}
