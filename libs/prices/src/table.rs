//! The table of published prices that is part of the build. `table/generate.py` writes it; its licence stands beside it.

use std::collections::HashMap;
use std::sync::LazyLock;

use ahash::AHashMap;
use serde::Deserialize;

use super::Price;

const TABLE: &str = include_str!("../table/table.json");

/// The prices by the name of the model, each with the place of its provider in [`PROVIDERS`], in that order.
static PRICES: LazyLock<AHashMap<String, Vec<(usize, Price)>>> = LazyLock::new(|| {
    // a table that cannot be read prices nothing; a test reads it
    let mut models = serde_json::from_str::<Table>(TABLE).map(|table| table.models).unwrap_or_default();
    let mut prices = AHashMap::<_, Vec<_>>::new();
    for (place, provider) in PROVIDERS.iter().enumerate() {
        for (name, price) in models.remove(*provider).unwrap_or_default() {
            prices.entry(name).or_default().push((place, price));
        }
    }
    prices
});

/// Reads the table, unless it has been read.
pub(crate) fn load() {
    LazyLock::force(&PRICES);
}

#[derive(Deserialize)]
struct Table {
    models: HashMap<String, HashMap<String, Price>>,
}

/// The providers of names without one: a model's own provider before those that resell it.
const PROVIDERS: [&str; 9] =
    ["anthropic", "openai", "gemini", "xai", "deepseek", "mistral", "cohere", "bedrock", "vertex_ai"];

/// Those of the providers that resell models.
const RESELLERS: [&str; 2] = ["bedrock", "vertex_ai"];

/// Other words for a provider before a `/`.
const ALIASES: [(&str, &str); 5] =
    [("google", "gemini"), ("models", "gemini"), ("x-ai", "xai"), ("mistralai", "mistral"), ("vertex", "vertex_ai")];

/// The price of a model: by its name, the provider's name before it or not (`openai/gpt-5`), with a date behind it or not
/// (`gpt-5-2025-08-07`), or tuned by somebody (`ft:gpt-4o-2024-08-06:acme::x`).
pub(crate) fn find(model: &str) -> Option<&'static Price> {
    entry(model).map(|(_, price)| price)
}

/// The published name of a model, if there is one: without its provider, and without a date where the table has none.
///
/// ```
/// assert_eq!(prices::published_name("openai/gpt-5-2026-01-01"), Some("gpt-5"));
/// assert_eq!(prices::published_name("gpt-5-turbo"), None);
/// ```
#[must_use]
pub fn published_name(model: &str) -> Option<&'static str> {
    entry(model).map(|(name, _)| name)
}

/// The published names of all models with the provider of each. Those that resell models of others are left out.
pub fn published_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all =
        PRICES.iter().flat_map(|(name, prices)| prices.iter().map(|(place, _)| (PROVIDERS[*place], name.as_str())));
    all.filter(|(provider, _)| !RESELLERS.contains(provider))
}

fn entry(model: &str) -> Option<(&'static str, &'static Price)> {
    let slash = model.bytes().position(|byte| byte == b'/');
    let (provider, name) = match slash.map(|slash| (&model[..slash], &model[slash + 1..])) {
        Some((provider, name)) => {
            let provider =
                ALIASES.iter().find(|(alias, _)| *alias == provider).map_or(provider, |(_, provider)| provider);
            (Some(PROVIDERS.iter().position(|known| *known == provider)?), name)
        }
        None => (None, model),
    };
    let exact = |name: &str| {
        let (name, prices) = PRICES.get_key_value(name)?;
        let (_, price) = prices.iter().find(|(place, _)| provider.is_none_or(|provider| provider == *place))?;
        Some((name.as_str(), price))
    };
    exact(name).or_else(|| exact(tuned(name)?)).or_else(|| exact(undated(name)?))
}

/// `ft:MODEL` of a tuned model, whose price is not that of the model itself.
fn tuned(name: &str) -> Option<&str> {
    let model = name.strip_prefix("ft:")?.split(':').next()?;
    name.get(..3 + model.len())
}

/// The name without a date: models are sold under one price by both.
fn undated(name: &str) -> Option<&str> {
    let is_date = |date: &str, dashes: &[usize]| {
        date.bytes()
            .enumerate()
            .all(|(at, byte)| if dashes.contains(&at) { byte == b'-' } else { byte.is_ascii_digit() })
    };
    let cut = |length: usize, separator: char, dashes: &[usize]| {
        let (name, date) = name.split_at_checked(name.len().checked_sub(length)?)?;
        name.strip_suffix(separator).filter(|name| !name.is_empty() && is_date(date, dashes))
    };
    cut(10, '-', &[4, 7]).or_else(|| cut(8, '-', &[])).or_else(|| cut(8, '@', &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(model: &str) -> Option<String> {
        find(model).and_then(|price| price.input).map(|price| price.to_string())
    }

    #[test]
    fn the_table_is_read_whole_and_every_price_in_it() {
        let table: Table = serde_json::from_str(TABLE).unwrap();
        assert!(table.models.values().map(HashMap::len).sum::<usize>() > 500);
        for (provider, models) in &table.models {
            assert!(PROVIDERS.contains(&provider.as_str()), "{provider}");
            assert!(models.values().all(|price| price.input.is_some()), "{provider}");
        }
    }

    #[test]
    fn a_model_is_found_by_every_name_that_is_surely_its_own() {
        for (model, price) in [
            ("claude-opus-5", Some("5")),
            ("anthropic/claude-opus-5", Some("5")),
            ("claude-opus-5-20260301", Some("5")),
            ("claude-sonnet-4-5-20250929", Some("3")),
            ("gpt-5-2025-08-07", Some("1.25")),
            ("openai/gpt-5-2026-01-01", Some("1.25")),
            ("models/gemini-2.5-pro", Some("1.25")),
            ("google/gemini-2.5-pro", Some("1.25")),
            ("ft:gpt-4o-2024-08-06:acme::abc", Some("3.75")),
            // names that only look alike
            ("gpt-5-turbo", None),
            ("claude-opus", None),
            ("openai/claude-opus-5", None),
            ("somebody/gpt-5", None),
            ("gpt-5-2025", None),
            ("ft:gpt-99:acme", None),
            ("", None),
            ("/", None),
            ("20250101", None),
            ("é-20250101", None),
        ] {
            assert_eq!(input(model).as_deref(), price, "{model}");
        }
    }
}
