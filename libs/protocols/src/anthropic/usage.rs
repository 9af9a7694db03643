//! The meaning of Anthropic's usage object: its classes of tokens, and the samplings that it lists.

use crate::compatible;
use crate::lenient_object::LenientObject;
use crate::{Iteration, Tokens, Usage};

/// How many samplings are told apart. Of more, those of a kind and a model are summed up.
const MOST_ITERATIONS: usize = 256;
/// The meaning of Anthropic's usage object.
pub(super) fn usage(of: &LenientObject<'_>) -> Usage {
    let iterations = of.list("iterations").into_iter().map(|of| Iteration {
        kind: of.text("type").unwrap_or_default(),
        model: of.text("model"),
        tokens: tokens(&of),
    });
    let server_tools = of.within("server_tool_use");
    let requests = |key| server_tools.as_ref().and_then(|tools| tools.count(key));
    Usage {
        tokens: tokens(of),
        iterations: bounded(iterations),
        web_search_requests: requests("web_search_requests"),
        web_fetch_requests: requests("web_fetch_requests"),
        service_tier: of.text("service_tier"),
        inference_geo: of.text("inference_geo"),
        speed: of.text("speed"),
        provider_cost_picos: compatible::cost(of),
        raw: None,
    }
}

/// No more than so many samplings, without losing what any of them cost.
fn bounded(all: impl Iterator<Item = Iteration>) -> Vec<Iteration> {
    let mut kept: Vec<Iteration> = Vec::new();
    for iteration in all {
        if kept.len() < MOST_ITERATIONS {
            kept.push(iteration);
            continue;
        }
        let alike = kept.iter().rposition(|one| one.kind == iteration.kind && one.model == iteration.model);
        let last = kept.len() - 1;
        let one = &mut kept[alike.unwrap_or(last)];
        if alike.is_none() {
            // nobody knows the price of a model without a name
            one.model = Some(String::new());
        }
        one.tokens.add(&iteration.tokens);
    }
    kept
}

fn tokens(of: &LenientObject<'_>) -> Tokens {
    let split = of.within("cache_creation");
    let kept = |key| split.as_ref().and_then(|split| split.count(key));
    let (minutes, hour) = (kept("ephemeral_5m_input_tokens"), kept("ephemeral_1h_input_tokens"));
    let sum = minutes.map(|minutes| minutes.saturating_add(hour.unwrap_or(0))).or(hour);
    let cache_creation = of.count("cache_creation_input_tokens").or(sum);
    Tokens {
        input: of.count("input_tokens"),
        cache_read: of.count("cache_read_input_tokens"),
        cache_creation,
        // no delta brings a new split: what a later sum has beyond the old one is kept for five minutes, as far as is known
        cache_creation_1h: hour.map(|hour| hour.min(cache_creation.unwrap_or(hour))),
        output: of.count("output_tokens"),
        reasoning: of.within("output_tokens_details").and_then(|details| details.count("thinking_tokens")),
    }
}
