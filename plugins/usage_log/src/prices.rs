//! What answers cost: from a table of published prices that is part of the build, or as the YAML has it. Never fetched, never
//! guessed: what a model, a class of tokens or a tier costs that is not known makes the cost unknown.

mod amount;
mod settings;
mod table;

use indexmap::IndexMap;
use plugin_api::{Tokens, Usage};

use crate::row::{Billed, Cost};

pub use amount::Amount;
pub use settings::{Above, Price, Tier};
pub use table::published_name;

/// A thousandth of a thousandth: in what multipliers and prices are counted.
const MILLION: i128 = 1_000_000;

/// The prices of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Prices {
    exact: IndexMap<String, Price>,
    // by what the name begins with, the longest first
    beginnings: Vec<(String, Price)>,
}

/// What an answer comes to.
#[derive(Debug, Default)]
pub(crate) struct Bill {
    /// All of it; `None` where a price is not known, or there is nothing to price.
    pub(crate) cost: Option<Cost>,
    /// Each sampling, where the sum is not the bill.
    pub(crate) parts: Vec<Billed>,
}

/// On what terms an answer was given.
#[derive(Clone, Copy, Debug)]
struct Terms<'a> {
    tier: Option<&'a str>,
    geo: Option<&'a str>,
    speed: Option<&'a str>,
}

impl Prices {
    /// The build's table under the YAML's own prices.
    ///
    /// # Errors
    /// Which of those can never apply.
    pub(crate) fn new(own: &IndexMap<String, Price>) -> Result<Self, String> {
        // read before the first answer comes, which would wait for it
        table::read();
        let mut prices = Self::default();
        for (model, price) in own {
            let (name, is_beginning) = match model.strip_suffix('*') {
                Some(beginning) => (beginning, true),
                None => (model.as_str(), false),
            };
            if model.is_empty() || name.contains('*') {
                return Err(format!("`prices` has `{model}`; a name may end with `*`, and has none elsewhere"));
            }
            if is_beginning {
                prices.beginnings.push((name.to_owned(), price.clone()));
            } else {
                prices.exact.insert(model.clone(), price.clone());
            }
        }
        prices.beginnings.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        Ok(prices)
    }

    /// What an answer comes to that this model gave.
    pub(crate) fn bill(&self, usage: &Usage, model: Option<&str>) -> Bill {
        self.bill_at(usage, model, usage.service_tier.as_deref())
    }

    /// What a result of a batch comes to.
    pub(crate) fn bill_batch(&self, usage: &Usage, model: Option<&str>) -> Bill {
        self.bill_at(usage, model, Some("batch"))
    }

    fn bill_at(&self, usage: &Usage, model: Option<&str>, tier: Option<&str>) -> Bill {
        let terms = Terms { tier, geo: usage.inference_geo.as_deref(), speed: usage.speed.as_deref() };
        let cost = |model: Option<&str>, tokens| model.and_then(|model| self.find(model)?.cost(tokens, terms));
        let parts = usage.iterations.iter().map(|iteration| {
            let own = iteration.model.as_deref().or(model);
            Billed {
                kind: iteration.kind.replace('\0', "\u{FFFD}"),
                model: own.map(|model| model.replace('\0', "\u{FFFD}")),
                tokens: iteration.tokens.into(),
                cost_usd: cost(own, &iteration.tokens),
            }
        });
        let parts: Vec<Billed> = parts.collect();
        let tokens = if parts.is_empty() {
            cost(model, &usage.tokens)
        } else {
            parts.iter().try_fold(Cost::ZERO, |sum, part| Some(sum + part.cost_usd?))
        };
        let searches = match usage.web_search_requests.unwrap_or(0) {
            0 => Some(Cost::ZERO),
            searches => model.and_then(|model| self.find(model)?.searches(searches)),
        };
        Bill { cost: tokens.zip(searches).map(|(tokens, searches)| tokens + searches), parts }
    }

    /// The name under which there is a price of a model, though it may be none for what was asked of it.
    pub(crate) fn name<'a>(&'a self, model: &'a str) -> Option<&'a str> {
        let beginning = || self.beginnings.iter().map(|(name, _)| &**name).find(|name| model.starts_with(name));
        let own = if self.exact.contains_key(model) { Some(model) } else { beginning() };
        own.or_else(|| published_name(model))
    }

    /// The price of a model, by whatever name it goes.
    fn find(&self, model: &str) -> Option<&Price> {
        let own = self.exact.get(model);
        let own =
            own.or_else(|| self.beginnings.iter().find(|(name, _)| model.starts_with(name)).map(|(_, price)| price));
        own.or_else(|| table::find(model))
    }
}

impl Price {
    /// What tokens cost; `None` where it is not known, or there are none to price.
    fn cost(&self, tokens: &Tokens, terms: Terms<'_>) -> Option<Cost> {
        if *tokens == Tokens::default() {
            return None;
        }
        let tier = match terms.tier {
            None | Some("standard" | "default" | "auto" | "on_demand") => None,
            Some("batch") => Some(self.batch.as_ref()?),
            Some("priority") => Some(self.priority.as_ref()?),
            Some("flex") => Some(self.flex.as_ref()?),
            Some(_) => return None,
        };
        let sum = match tier {
            Some(tier) => tier.sum(&tier.above, tokens),
            None => self.standard().sum(&self.above, tokens),
        };
        let mut times = MILLION;
        if terms.geo == Some("us") {
            times = times * self.times_us.map_or(MILLION, Amount::millionths) / MILLION;
        }
        if terms.speed == Some("fast") {
            times = times * self.times_fast?.millionths() / MILLION;
        }
        let sum = sum? * times;
        Some(Cost::from_picos((sum + MILLION / 2) / MILLION))
    }

    /// What so many web searches cost.
    fn searches(&self, searches: u64) -> Option<Cost> {
        Some(Cost::from_picos(i128::from(searches) * self.web_search?.millionths() * MILLION))
    }

    /// The prices without a tier, but for those `above`.
    fn standard(&self) -> Tier {
        Tier {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            reasoning: self.reasoning,
            above: Vec::new(),
        }
    }
}

impl Tier {
    /// What tokens cost, in picodollars: a dollar per million tokens is a million picodollars per token.
    fn sum(&self, above: &[Above], tokens: &Tokens) -> Option<i128> {
        let of = |count: Option<u64>| i128::from(count.unwrap_or(0));
        let context = of(tokens.input) + of(tokens.cache_read) + of(tokens.cache_creation);
        let above = above.iter().filter(|above| context > i128::from(above.tokens));
        let above = above.max_by_key(|above| above.tokens);
        let at = |own: fn(&Above) -> Option<Amount>, base| above.and_then(own).or(base);
        let writes_1h = of(tokens.cache_creation_1h);
        let writes = (of(tokens.cache_creation) - writes_1h).max(0);
        // a class that costs the same as the rest of the output has no price of its own
        let reasoning = at(|above| above.reasoning, self.reasoning);
        let thought = if reasoning.is_some() { of(tokens.reasoning).min(of(tokens.output)) } else { 0 };
        let classes = [
            (of(tokens.input), at(|above| above.input, self.input)),
            (of(tokens.output) - thought, at(|above| above.output, self.output)),
            (thought, reasoning),
            (of(tokens.cache_read), at(|above| above.cache_read, self.cache_read)),
            (writes, at(|above| above.cache_write, self.cache_write)),
            (writes_1h, at(|above| above.cache_write_1h, self.cache_write_1h)),
        ];
        let mut sum = 0;
        for (count, price) in classes.into_iter().filter(|(count, _)| *count > 0) {
            sum += count * price?.millionths();
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests;
