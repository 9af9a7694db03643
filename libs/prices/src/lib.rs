//! What tokens cost: by a table of published prices that is part of the build, or by prices of one's own over it. Nothing is
//! fetched and nothing is guessed: where the price of a model, a class of tokens or a tier is unknown, so is the cost.
//!
//! ```
//! use indexmap::IndexMap;
//! use prices::{Price, Prices, Terms, Tokens};
//!
//! let own: IndexMap<String, Price> = serde_json::from_str(r#"{ "llama-*": { "input": 0.1, "output": "0.3" } }"#).unwrap();
//! let prices = Prices::new(&own).unwrap();
//! let tokens = Tokens { input: Some(1_000), output: Some(100), ..Tokens::default() };
//!
//! let cost = |model, terms| prices.cost(model, &tokens, terms).map(|cost| cost.to_string());
//! assert_eq!(cost("claude-opus-5", Terms::default()).as_deref(), Some("0.0075"));
//! assert_eq!(cost("anthropic/claude-opus-5-20260301", Terms { tier: Some("batch"), ..Terms::default() }).as_deref(), Some("0.00375"));
//! assert_eq!(cost("llama-4", Terms::default()).as_deref(), Some("0.00013"));
//! assert_eq!(cost("mystery", Terms::default()), None);
//! ```

mod amount;
mod cost;
mod price;
mod sum;
mod table;
mod tokens;

use indexmap::IndexMap;

pub use amount::Amount;
pub use cost::Cost;
pub use price::{Above, Price, Tier};
pub use table::{published_name, published_names};
pub use tokens::{Terms, Tokens};

/// Own prices over the published ones.
#[derive(Debug, Default, PartialEq)]
pub struct Prices {
    exact: IndexMap<String, Price>,
    /// By the beginning of the name, the longest first.
    beginnings: Vec<(String, Price)>,
}

impl Prices {
    /// The published prices under these own ones, by name or by `BEGINNING*`. The exact name comes first, then the longest
    /// beginning, then the published price.
    ///
    /// # Errors
    /// An own price that can never apply.
    pub fn new(own: &IndexMap<String, Price>) -> Result<Self, String> {
        // or the first answer would wait for it
        table::load();
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

    /// What tokens of a model cost; `None` where a price is unknown, or no tokens were reported.
    #[must_use]
    pub fn cost(&self, model: &str, tokens: &Tokens, terms: Terms<'_>) -> Option<Cost> {
        self.find(model)?.cost(tokens, terms)
    }

    /// The most that so many tokens of input and output of a model can cost on these terms, each token of input in the dearest class;
    /// `None` where a price is unknown.
    ///
    /// ```
    /// # use prices::{Prices, Terms};
    /// // input that is written to the cache for an hour costs twice as much
    /// let most = Prices::default().most("claude-opus-5", 1_000, 100, Terms::default());
    /// assert_eq!(most.map(|cost| cost.to_string()).as_deref(), Some("0.0125"));
    /// ```
    #[must_use]
    pub fn most(&self, model: &str, input: u64, output: u64, terms: Terms<'_>) -> Option<Cost> {
        self.find(model)?.most(input, output, terms)
    }

    /// What web searches cost that a model's provider ran; `None` where the price is unknown.
    #[must_use]
    pub fn searches(&self, model: &str, searches: u64) -> Option<Cost> {
        self.find(model)?.searches(searches)
    }

    /// The name under which a model has a price, if it has one; the price may lack the class or tier in question.
    #[must_use]
    pub fn name<'a>(&'a self, model: &'a str) -> Option<&'a str> {
        let beginning = || self.beginnings.iter().map(|(name, _)| &**name).find(|name| model.starts_with(name));
        let own = if self.exact.contains_key(model) { Some(model) } else { beginning() };
        own.or_else(|| published_name(model))
    }

    /// The price of a model, by any of its names.
    #[must_use]
    pub fn find(&self, model: &str) -> Option<&Price> {
        let beginning = || self.beginnings.iter().find(|(name, _)| model.starts_with(name)).map(|(_, price)| price);
        self.exact.get(model).or_else(beginning).or_else(|| table::find(model))
    }
}

#[cfg(test)]
mod tests;
