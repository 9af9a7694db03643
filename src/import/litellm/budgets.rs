//! What `LiteLLM` lets its callers spend → the plugin `budget`, and the ledger whose rows it counts, with the file's own prices.

use std::collections::HashSet;

use indexmap::IndexMap;
use prices::{Amount, Price, Prices, published_name};
use serde_json::{Map, Value, json};

use super::super::LeftOut;
use super::super::section::Section;
use super::deployment::Deployment;
use super::plugins::limited_by;
use super::upstreams::{Groups, Rule};

/// The most US dollars of a budget, and the fewest.
const MOST_USD: f64 = 1e6;
const FEWEST_USD: f64 = 1e-6;

/// What may be spent in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// As the file has it.
    usd: String,
    /// After which time it begins anew; never where there is none.
    duration: Option<String>,
}

impl Budget {
    /// Takes it out of a section, from under these keys.
    pub(super) fn take(section: &mut Section, usd: &str, duration: &str) -> Option<Self> {
        let duration = section.text(duration);
        section.text(usd).map(|usd| Self { usd, duration })
    }

    /// As the settings here write it.
    ///
    /// # Errors
    /// Why they cannot.
    fn rate(&self) -> Result<String, String> {
        let usd: f64 = self.usd.parse().map_err(|_| format!("`{}` is no amount", self.usd))?;
        if !(usd > 0.0 && usd <= MOST_USD) {
            return Err(format!("{} USD are not between 0 and a million", self.usd));
        }
        let Some(duration) = &self.duration else {
            return Err(format!("{} USD that never begin anew; budgets here are by day, week or month", self.usd));
        };
        let span = span(duration)
            .ok_or_else(|| format!("{} USD per {duration}; budgets here are by day, week or month", self.usd))?;
        Ok(format!("{}/{span}", millionths(usd.max(FEWEST_USD))))
    }
}

/// The calendar's span of time that `LiteLLM` means: it begins days at midnight, weeks on Monday and 30 days on the first of the month.
fn span(duration: &str) -> Option<&'static str> {
    match duration {
        "1d" | "24h" => Some("day"),
        "7d" | "1w" => Some("week"),
        "30d" | "1mo" => Some("month"),
        _ => None,
    }
}

/// A number with six digits behind the point at most.
fn millionths(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// Where a deployment says what a token costs: of input, of output, read from a cache and written to one.
const COSTS: [&str; 4] =
    ["input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost", "cache_creation_input_token_cost"];

/// What a million tokens cost, as `litellm_params` or `model_info` say. Tokens of a cache cost as other input does where that is not
/// said, so that none is without a price.
pub(super) fn price(params: &mut Section, info: &mut Section, left_out: &mut LeftOut) -> Option<Price> {
    let costs = COSTS.map(|key| {
        let (own, general) = (params.text(key), info.text(key));
        own.or(general)
    });
    if costs.iter().all(Option::is_none) {
        return None;
    }
    let [Some(input), Some(output), read, write] = costs.map(|cost| million(&cost?)) else {
        left_out.add(&params.place_of(COSTS[0]), "a price has both input and output, in US dollars");
        return None;
    };
    let (cache_read, cache_write) = (read.or(Some(input)), write.or(Some(input)));
    let (input, output) = (Some(input), Some(output));
    Some(Price { input, output, cache_read, cache_write, cache_write_1h: cache_write, ..Price::default() })
}

/// What a million tokens cost, by what one does.
fn million(token: &str) -> Option<Amount> {
    millionths(token.parse::<f64>().ok()? * 1e6).to_string().parse().ok()
}

/// `budget` and `usage_log`, or nothing where nobody has a budget that can be held here.
pub(super) fn of(
    deployments: &[Deployment],
    groups: &Groups,
    rules: &[Rule],
    litellm: &mut Section,
    router: &mut Section,
    left_out: &mut LeftOut,
) -> Option<(Value, Value)> {
    let mut limits = Vec::new();
    // 0 is how LiteLLM says that there is none
    let own = Budget::take(litellm, "max_budget", "budget_duration");
    if let Some(own) = own.filter(|own| own.usd.parse() != Ok(0.0)) {
        match own.rate() {
            Ok(rate) => limits.push(json!({ "by": "all", "usd": rate })),
            Err(why) => left_out.add("litellm_settings.max_budget", &why),
        }
    }
    limits.extend(by_model(deployments, groups, left_out));
    of_callers(litellm, left_out);
    if let Some(Value::Object(providers)) = router.take("provider_budget_config") {
        for provider in providers.keys() {
            let why = "budgets here are by key, tenant, user, model or for all, and not by upstream";
            left_out.add(&format!("router_settings.provider_budget_config.{provider}"), why);
        }
    }
    let zone = litellm.text("timezone");
    if limits.is_empty() {
        for one in deployments.iter().filter(|one| one.price.is_some()) {
            let why = "without a budget nothing needs it; prices belong into `prices` of `usage_log`";
            left_out.add(&format!("{}.litellm_params.{}", one.place, COSTS[0]), why);
        }
        return None;
    }
    let prices = prices_of(deployments, rules, left_out);
    let mut budget = Map::from_iter([("limits".to_owned(), Value::from(limits))]);
    budget.extend(zone.map(|zone| ("time_zone".to_owned(), zone.into())));
    let unpriced = unpriced(rules, &prices);
    if !unpriced.is_empty() {
        budget.insert("unpriced".to_owned(), "allow".into());
        let why = format!(
            "no price is known for {}: as in LiteLLM, their calls pass and count nothing; give `prices`, or let `unpriced` say what each call counts",
            unpriced.join(", ")
        );
        left_out.add("budget.unpriced", &why);
    }
    let mut ledger = Map::new();
    if !prices.is_empty() {
        ledger.insert("prices".to_owned(), json!(prices));
    }
    Some((json!({ "budget": budget }), json!({ "usage_log": ledger })))
}

/// The budget of each model, where all models have the same: `by: model` knows no other.
fn by_model(deployments: &[Deployment], groups: &Groups, left_out: &mut LeftOut) -> Option<Value> {
    let with_one = || deployments.iter().filter(|one| one.budget.is_some());
    let first = with_one().next()?.budget.as_ref()?;
    let is_same = deployments.iter().all(|one| one.budget.as_ref() == Some(first));
    let names: Vec<&str> = deployments.iter().map(|one| one.group.as_str()).collect();
    let found = match limited_by(&names).filter(|_| is_same) {
        None => {
            Err("budgets by model are the same for all models here, and the models of a pattern would have one each"
                .to_owned())
        }
        Some(_) if !is_one_to_one(&names, groups) => {
            Err("budgets by model are by the name that is asked for; each deployment must have one name of its own"
                .to_owned())
        }
        Some(_) if groups.has_fallbacks() => {
            Err("budgets by model count what falls back for the model asked for, and LiteLLM for the one that answers"
                .to_owned())
        }
        Some(by) => first.rate().map(|rate| json!({ "by": by, "usd": rate })),
    };
    match found {
        Ok(limit) => Some(limit),
        Err(why) => {
            with_one().for_each(|one| left_out.add(&format!("{}.litellm_params.max_budget", one.place), &why));
            None
        }
    }
}

/// Whether each deployment's name is its only one, and no other's: names that share a published price share a budget.
fn is_one_to_one(names: &[&str], groups: &Groups) -> bool {
    let counted =
        names.iter().map(|name| published_name(name).map_or_else(|| name.to_ascii_lowercase(), str::to_owned));
    counted.collect::<HashSet<_>>().len() == names.len() && !groups.has_aliases()
}

/// What users and keys get that `LiteLLM` keeps in its database, which are not here.
fn of_callers(litellm: &mut Section, left_out: &mut LeftOut) {
    let whom = [
        ("max_internal_user_budget", "internal_user_budget_duration", "key"),
        ("max_user_budget", "user_budget_duration", "key"),
        ("max_end_user_budget", "end_user_budget_duration", "user"),
    ];
    for (usd, duration, by) in whom {
        let Some(budget) = Budget::take(litellm, usd, duration) else { continue };
        let why = match budget.rate() {
            Ok(rate) => format!(
                "callers are in LiteLLM's database; once they have keys here, add {{ by: {by}, usd: {rate} }} to the `limits` of `budget`"
            ),
            Err(why) => why,
        };
        left_out.add(&format!("litellm_settings.{usd}"), &why);
    }
    for defaults in [
        "default_internal_user_params",
        "default_key_generate_params",
        "default_team_params",
        "default_team_settings",
        "upperbound_key_generate_params",
    ] {
        if litellm.take(defaults).is_some() {
            let why = "what LiteLLM writes into its database for new users, teams and keys; here a key has `models`, `expires` and `limits` \
                       of its own, and `budget` holds what each key, tenant or user spends";
            left_out.add(&format!("litellm_settings.{defaults}"), why);
        }
    }
}

/// The file's own prices, by the model's name upstream: those that count for no deployment that has another price or none.
fn prices_of(deployments: &[Deployment], rules: &[Rule], left_out: &mut LeftOut) -> IndexMap<String, Price> {
    // a name may end with `*`, and has none elsewhere
    let is_name = |name: &str| !name.is_empty() && !name.trim_end_matches('*').contains('*');
    let priced =
        || deployments.iter().filter_map(|one| Some((one, one.price.as_ref()?))).filter(|(one, _)| is_name(&one.model));
    let mut prices: IndexMap<_, _> = priced().map(|(one, price)| (one.model.clone(), price.clone())).collect();
    // without the one of a name, that of a pattern may count for it
    while let Some(at) = prices.iter().position(|(name, price)| {
        let mut others = deployments.iter().filter(|one| one.price.as_ref() != Some(price));
        others.any(|one| counting(&prices, &one.model) == Some(name) || is_asked_for(one, name, rules))
    }) {
        prices.shift_remove_index(at);
    }
    for (one, _) in priced().filter(|(one, _)| !prices.contains_key(&one.model)) {
        let why = "another deployment, whose calls it would count for, has another price or none; prices are by the model's name upstream";
        left_out.add(&format!("{}.litellm_params.{}", one.place, COSTS[0]), why);
    }
    prices
}

/// The name or pattern whose own price counts for a model: its own, or else the longest beginning.
fn counting<'a>(prices: &'a IndexMap<String, Price>, model: &str) -> Option<&'a String> {
    let begins = |name: &&String| name.strip_suffix('*').is_some_and(|beginning| model.starts_with(beginning));
    let exact = prices.get_key_value(model).map(|(name, _)| name);
    exact.or_else(|| prices.keys().filter(begins).max_by_key(|name| name.len()))
}

/// Whether a deployment's pattern takes calls for a model of this name, which has a published price: no rule has the name itself.
fn is_asked_for(one: &Deployment, name: &str, rules: &[Rule]) -> bool {
    one.model.strip_suffix('*').is_some_and(|beginning| name.starts_with(beginning))
        && published_name(name).is_some()
        && rules.iter().all(|rule| rule.pattern != name)
}

/// The models of the route that have no price; each in quotes.
fn unpriced(rules: &[Rule], own: &IndexMap<String, Price>) -> Vec<String> {
    let Ok(known) = Prices::new(own) else { return Vec::new() };
    let names = rules.iter().map(|rule| rule.model.as_str());
    let is_known = |name: &&str| !name.contains('*') && known.find(name).is_some();
    names.filter(|name| !is_known(name)).map(|name| format!("`{name}`")).collect()
}
