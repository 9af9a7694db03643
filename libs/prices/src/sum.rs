//! A price and tokens → a cost, exactly: in whole picodollars, of which a dollar per million tokens is a million per token.

use crate::amount::Amount;
use crate::cost::Cost;
use crate::price::{Above, Price, Tier};
use crate::tokens::{Terms, Tokens};

/// Multipliers and prices count in millionths.
const MILLION: i128 = 1_000_000;

impl Price {
    /// What tokens cost; `None` where it is unknown, or no tokens were reported.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens, terms: Terms<'_>) -> Option<Cost> {
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
            Some(tier) => Rates::of_tier(tier).sum(tokens)?,
            None => Rates::standard(self).sum(tokens)?,
        };
        let mut times = MILLION;
        if terms.geo == Some("us") {
            times = times * self.times_us.map_or(MILLION, Amount::millionths) / MILLION;
        }
        if terms.speed == Some("fast") {
            times = times * self.times_fast?.millionths() / MILLION;
        }
        if times == MILLION {
            return Some(Cost::from_picos(sum));
        }
        Some(Cost::from_picos((sum * times + MILLION / 2) / MILLION))
    }

    /// The most that so many tokens can cost on these terms, each token of input in the dearest class; `None` where a price is
    /// unknown.
    #[must_use]
    pub fn most(&self, input: u64, output: u64, terms: Terms<'_>) -> Option<Cost> {
        let cost = |tokens| self.cost(&tokens, terms);
        let plain = Tokens { input: Some(input), output: Some(output), ..Tokens::default() };
        let written = Tokens { cache_write: Some(input), output: Some(output), ..Tokens::default() };
        let written_1h = Tokens { cache_write_1h: Some(input), ..written };
        let dearest = [written, written_1h].into_iter().filter_map(cost).max();
        cost(plain).map(|plain| dearest.map_or(plain, |dearest| dearest.max(plain)))
    }

    /// What web searches cost.
    pub(crate) fn searches(&self, searches: u64) -> Option<Cost> {
        Some(Cost::from_picos(i128::from(searches) * self.web_search?.millionths() * MILLION))
    }
}

/// The prices of one tier.
struct Rates<'a> {
    input: Option<Amount>,
    output: Option<Amount>,
    cache_read: Option<Amount>,
    cache_write: Option<Amount>,
    cache_write_1h: Option<Amount>,
    reasoning: Option<Amount>,
    above: &'a [Above],
}

impl<'a> Rates<'a> {
    fn of_tier(tier: &'a Tier) -> Self {
        let Tier { input, output, cache_read, cache_write, cache_write_1h, reasoning, ref above } = *tier;
        Self { input, output, cache_read, cache_write, cache_write_1h, reasoning, above }
    }

    /// Those outside of any tier.
    fn standard(price: &'a Price) -> Self {
        let Price { input, output, cache_read, cache_write, cache_write_1h, reasoning, ref above, .. } = *price;
        Self { input, output, cache_read, cache_write, cache_write_1h, reasoning, above }
    }

    /// What tokens cost, in picodollars; `None` where one of their classes has no price.
    fn sum(&self, tokens: &Tokens) -> Option<i128> {
        let of = |count: Option<u64>| count.unwrap_or(0);
        let (input, output) = (of(tokens.input), of(tokens.output));
        let (reads, all_writes, writes_1h) = (of(tokens.cache_read), of(tokens.cache_write), of(tokens.cache_write_1h));
        let context = u128::from(input) + u128::from(reads) + u128::from(all_writes);
        let above = self.above.iter().filter(|above| context > u128::from(above.tokens));
        let above = above.max_by_key(|above| above.tokens);
        let at = |own: fn(&Above) -> Option<Amount>, base| above.and_then(own).or(base);
        // without a price of its own, reasoning costs what the rest of the output does
        let reasoning = at(|above| above.reasoning, self.reasoning);
        let reasoned = if reasoning.is_some() { of(tokens.reasoning).min(output) } else { 0 };
        let cost = |count: u64, price: Option<Amount>| match count {
            0 => Some(0),
            count => Some(i128::from(count) * price?.millionths()),
        };
        Some(
            cost(input, at(|above| above.input, self.input))?
                + cost(output - reasoned, at(|above| above.output, self.output))?
                + cost(reasoned, reasoning)?
                + cost(reads, at(|above| above.cache_read, self.cache_read))?
                + cost(all_writes.saturating_sub(writes_1h), at(|above| above.cache_write, self.cache_write))?
                + cost(writes_1h, at(|above| above.cache_write_1h, self.cache_write_1h))?,
        )
    }
}
