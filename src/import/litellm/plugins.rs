//! What `LiteLLM` does beside passing calls on → plugins: keys, limits, budgets, the cache.

use indexmap::IndexMap;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::super::LeftOut;
use super::super::secrets::Secrets;
use super::super::section::Section;
use super::deployment::Deployment;
use super::upstreams::{Groups, Rule};
use super::{budgets, plain, reference, variable};

/// The plugins of every route, top to bottom.
pub(super) fn of(
    deployments: &[Deployment],
    groups: &Groups,
    rules: &[Rule],
    [litellm, router, general]: [&mut Section; 3],
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
    let (budget, ledger) = budgets::of(deployments, groups, rules, litellm, router, left_out).unzip();
    plugins.extend(budget);
    plugins.extend(cache(litellm, secrets, left_out));
    plugins.extend(ledger);
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

/// The `by` of a limit that each of these names has: `model` where all are names of single models, and `all` for one pattern alone, whose
/// models share the limit. `None` for anything else.
pub(super) fn limited_by(names: &[&str]) -> Option<&'static str> {
    match names {
        [name] if name.contains('*') => Some("all"),
        names => names.iter().all(|name| !name.contains('*')).then_some("model"),
    }
}

/// What the names of one model upstream have together, in a minute.
#[derive(Default)]
struct Limit<'a> {
    names: Vec<&'a str>,
    requests: u64,
    tokens: u64,
}

/// The limit of each model, where all models have the same: `by: model` knows no other, and tells models apart by their name upstream.
fn by_model(deployments: &[Deployment], left_out: &mut LeftOut) -> Option<Value> {
    let mut models: IndexMap<String, Limit> = IndexMap::new();
    for one in deployments {
        // whichever of its name answers, a call counts for the model of the first
        let first = deployments.iter().find(|first| first.group == one.group).unwrap_or(one);
        let model = models.entry(first.model.to_ascii_lowercase()).or_default();
        if !model.names.contains(&one.group.as_str()) {
            model.names.push(&one.group);
        }
        model.requests = model.requests.saturating_add(one.limits.0.unwrap_or(0));
        model.tokens = model.tokens.saturating_add(one.limits.1.unwrap_or(0));
    }
    let (requests, tokens) = models.values().next().map(|first| (first.requests, first.tokens))?;
    // beside one without a limit, the sum is none
    let limited = |one: &Deployment| (one.limits.0.is_some(), one.limits.1.is_some());
    let is_same = models.values().all(|model| (model.requests, model.tokens) == (requests, tokens))
        && deployments.windows(2).all(|pair| limited(&pair[0]) == limited(&pair[1]));
    let names: Vec<&str> = models.values().flat_map(|model| model.names.iter().copied()).collect();
    let by = limited_by(&names).filter(|_| is_same);
    for model in models.values().filter(|model| model.requests > 0 || model.tokens > 0) {
        let why = match by {
            None => {
                "a limit by model is the same for all models; give the model a route with a `rate_limit` of its own"
            }
            Some(_) if model.names.len() > 1 => "they share it: a limit by model is by the model's name upstream",
            Some(_) => continue,
        };
        let names: Vec<_> = model.names.iter().map(|name| format!("`{name}`")).collect();
        let why = format!("rpm {}, tpm {}: {why}", model.requests, model.tokens);
        left_out.add(&format!("model_list ({})", names.join(", ")), &why);
    }
    let by = by?;
    let mut limit = Map::from_iter([("by".to_owned(), by.into())]);
    for (key, amount) in [("requests", requests), ("tokens", tokens)] {
        if amount > 0 {
            limit.insert(key.to_owned(), format!("{amount}/m").into());
        }
    }
    (limit.len() > 1).then(|| limit.into())
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
            let url = params.text("url").map(|url| reference(&url, secrets)).unwrap_or_else(|| {
                let host = plain(&params.text("host").unwrap_or_else(|| "os.environ/REDIS_HOST".to_owned()));
                let port = plain(&params.text("port").unwrap_or_else(|| "6379".to_owned()));
                let password = params.text("password").map(|password| format!(":{}@", reference(&password, secrets)));
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
