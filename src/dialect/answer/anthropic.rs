//! Answers of Anthropic's Messages API: one object, or events whose usage overrides what came before it.

use indexmap::IndexMap;
use plugin_api::{Iteration, Tokens, Usage};
use serde_json::value::RawValue;

use crate::dialect::found::{Field, Found, Members, Wanted};

use super::facts::{Facts, Shape, raw};
use super::figures::Figures;

/// Answers to messages.
pub(super) static MESSAGES: Shape = Shape {
    whole: WHOLE,
    on_whole,
    events: EVENTS,
    events_behind_content: EVENTS,
    types: Some(&[
        r#""message_start""#,
        r#""content_block_start""#,
        r#""message_delta""#,
        r#""message_stop""#,
        r#""error""#,
    ]),
    on_event,
    stops_before_its_end: false,
    usage,
};

/// Answers of endpoints that cost nothing: a count of tokens is no usage.
pub(super) static OTHERS: Shape = Shape {
    whole: COSTS_NOTHING,
    on_whole,
    events: COSTS_NOTHING,
    events_behind_content: COSTS_NOTHING,
    types: None,
    on_event: |_, _| {},
    stops_before_its_end: false,
    usage,
};

const WHOLE: Members = &[
    ("id", Wanted::Value(Field::Id)),
    ("model", Wanted::Value(Field::Model)),
    ("stop_reason", Wanted::Value(Field::Stop)),
    ("usage", Wanted::Value(Field::Usage)),
    ("error", Wanted::Value(Field::Error)),
];

const COSTS_NOTHING: Members = &[("id", Wanted::Value(Field::Id)), ("error", Wanted::Value(Field::Error))];

const EVENTS: Members = &[
    ("type", Wanted::Value(Field::Type)),
    (
        "message",
        Wanted::Members(&[
            ("id", Wanted::Value(Field::Id)),
            ("model", Wanted::Value(Field::Model)),
            ("usage", Wanted::Value(Field::Usage)),
        ]),
    ),
    ("delta", Wanted::Members(&[("stop_reason", Wanted::Value(Field::Stop))])),
    ("usage", Wanted::Value(Field::Usage)),
    (
        "content_block",
        Wanted::Members(&[
            ("type", Wanted::Value(Field::BlockType)),
            ("to", Wanted::Members(&[("model", Wanted::Value(Field::ServedBy))])),
        ]),
    ),
    ("error", Wanted::Value(Field::Error)),
];

fn on_whole(facts: &mut Facts, found: &Found) {
    facts.note(found);
    facts.note_usage(found);
    facts.complete();
    facts.note_error(found);
}

fn on_event(facts: &mut Facts, found: &Found) {
    match found.get(Field::Type) {
        Some(br#""content_block_delta""#) => facts.has_content = true,
        // a second one is none of this answer's
        Some(br#""message_start""#) if !facts.has_begun => {
            facts.has_begun = true;
            facts.note(found);
            facts.note_usage(found);
        }
        Some(br#""content_block_start""#) if found.get(Field::BlockType) == Some(br#""fallback""#) => {
            // who answers from here on
            facts.model = found.text(Field::ServedBy).or(facts.model.take());
        }
        Some(br#""message_delta""#) => {
            facts.stop_reason = found.text(Field::Stop).or(facts.stop_reason.take());
            if let Some(new) = raw(found) {
                facts.usage = Some(match facts.usage.take() {
                    Some(old) => overridden(&old, &new).unwrap_or(new),
                    None => new,
                });
            }
        }
        Some(br#""message_stop""#) => facts.complete(),
        Some(br#""error""#) => {
            facts.note_error(found);
            facts.fail();
        }
        _ => {}
    }
}

/// The old object with the new one's members in the place of its own: they are sums of all that has happened, to be taken
/// as they are, 0 included. `null` says nothing.
fn overridden(old: &RawValue, new: &RawValue) -> Option<Box<RawValue>> {
    let mut all: IndexMap<String, &RawValue> = serde_json::from_str(old.get()).ok()?;
    let new: IndexMap<String, &RawValue> = serde_json::from_str(new.get()).ok()?;
    all.extend(new.into_iter().filter(|(_, value)| value.get() != "null"));
    RawValue::from_string(serde_json::to_string(&all).ok()?).ok()
}

/// The meaning of Anthropic's usage object.
pub(super) fn usage(of: &Figures<'_>) -> Usage {
    let iterations = of.list("iterations").into_iter().map(|of| Iteration {
        kind: of.text("type").unwrap_or_default(),
        model: of.text("model"),
        tokens: tokens(&of),
    });
    let server_tools = of.within("server_tool_use");
    let requests = |key| server_tools.as_ref().and_then(|tools| tools.count(key));
    Usage {
        tokens: tokens(of),
        iterations: iterations.collect(),
        web_search_requests: requests("web_search_requests"),
        web_fetch_requests: requests("web_fetch_requests"),
        service_tier: of.text("service_tier"),
        inference_geo: of.text("inference_geo"),
        speed: of.text("speed"),
        raw: None,
    }
}

fn tokens(of: &Figures<'_>) -> Tokens {
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
