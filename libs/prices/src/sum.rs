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

    /// The prices outside of any tier, without those `above` a length.
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
    /// What tokens cost, in picodollars.
    fn sum(&self, above: &[Above], tokens: &Tokens) -> Option<i128> {
        let of = |count: Option<u64>| i128::from(count.unwrap_or(0));
        let context = of(tokens.input) + of(tokens.cache_read) + of(tokens.cache_write);
        let above = above.iter().filter(|above| context > i128::from(above.tokens));
        let above = above.max_by_key(|above| above.tokens);
        let at = |own: fn(&Above) -> Option<Amount>, base| above.and_then(own).or(base);
        let writes_1h = of(tokens.cache_write_1h);
        let writes = (of(tokens.cache_write) - writes_1h).max(0);
        // without a price of its own, reasoning costs what the rest of the output does
        let reasoning = at(|above| above.reasoning, self.reasoning);
        let reasoned = if reasoning.is_some() { of(tokens.reasoning).min(of(tokens.output)) } else { 0 };
        let classes = [
            (of(tokens.input), at(|above| above.input, self.input)),
            (of(tokens.output) - reasoned, at(|above| above.output, self.output)),
            (reasoned, reasoning),
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
