//! What the limits say of a request for `tollgate explain`: those that it takes of, and how much.

use plugin_api::{Context, Explanation};

use crate::claims::{Ask, caller};
use crate::refusal::allowed;
use crate::rules::Measure;
use crate::{RateLimit, State};

impl RateLimit {
    /// Says which limits a request takes of.
    pub(crate) fn explain(&self, state: &State, context: &Context, ask: &Ask<'_>, explanation: &mut Explanation) {
        let caller = caller(state, context, ask.model);
        let own = self.own_group(context);
        let mut is_limited = false;
        for group in self.groups.iter().chain(&own) {
            let whose = group.by.describe(&caller, group.header);
            for rule in group.rules.iter().filter(|rule| group.claims(rule, &ask.demand)) {
                is_limited = true;
                let (name, allowed, amount) = (&group.name, allowed(rule), rule.measure.amount(&ask.demand));
                let unit = if rule.measure == Measure::Tokens { " tokens at first" } else { "" };
                explanation.say(format!("limit `{name}` is {allowed} for {whose}, of which this takes {amount}{unit}"));
            }
        }
        if !is_limited {
            explanation.say("it takes of no limit");
        } else if self.config.redis.is_some() {
            explanation.depends_on("what all gateways have used of these limits, which Redis knows");
        } else {
            explanation.depends_on("what has been used of these limits");
        }
    }
}
