//! Anthropic's Messages API: one object, or events whose usage overrides what came before it.

use serde_json::json;

use crate::answer::AnswerState;
use crate::batch_results::BatchResults;
use crate::compatible::{self, ERROR_MEMBERS};
use crate::endpoint::{BatchMembers, EndpointSpec, PathRule, Sign};
use crate::figures::Figures;
use crate::protocol::{ApiError, ErrorSchema, LimitHeaders, MemberPath, ResetFormat};
use crate::refused::Closing;
use crate::response::{self, ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Members, Pattern, Slot};
use crate::usage::{Iteration, Tokens, Usage};
use crate::{Endpoint, Protocol, TokenField};

/// How many samplings are told apart. Of more, those of a kind and a model are summed up.
const MOST_ITERATIONS: usize = 256;

/// The protocol.
pub(crate) static PROTOCOL: Protocol = Protocol {
    name: "anthropic",
    provider: "anthropic",
    endpoints: &[Endpoint::new(&MESSAGES), Endpoint::new(&COUNT_TOKENS), Endpoint::new(&MESSAGE_BATCHES)],
    marker_header: Some("anthropic-version"),
    token_fields: &[TokenField::MAX_TOKENS],
    null_limit_is_none: false,
    session_fields: &[MemberPath::inner("metadata", "user_id")],
    padding_fields: &[],
    errors: ErrorSchema {
        types: &[
            (401, 401, "authentication_error"),
            (402, 402, "billing_error"),
            (403, 403, "permission_error"),
            (404, 404, "not_found_error"),
            (408, 408, "timeout_error"),
            (413, 413, "request_too_large"),
            (429, 429, "rate_limit_error"),
            (504, 504, "timeout_error"),
            (529, 529, "overloaded_error"),
            (500, u16::MAX, "api_error"),
        ],
        types_of_codes: &[("overloaded", "overloaded_error")],
        object: error_object,
        request_id_header: Some("request-id"),
    },
    limit_headers: Some(&LIMIT_HEADERS),
    batch_results: Some(&BATCH_RESULTS),
};

static LIMIT_HEADERS: LimitHeaders = LimitHeaders {
    requests: [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    tokens: [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ],
    reset: ResetFormat::Timestamp,
};

impl Endpoint {
    /// Anthropic `POST /v1/messages`.
    pub const MESSAGES: Self = Self::new(&MESSAGES);
    /// Anthropic `POST /v1/messages/count_tokens`: counts, generates nothing.
    pub const COUNT_TOKENS: Self = Self::new(&COUNT_TOKENS);
    /// Anthropic `POST /v1/messages/batches`: many calls under `requests[].params`.
    pub const MESSAGE_BATCHES: Self = Self::new(&MESSAGE_BATCHES);
}

impl TokenField {
    /// `max_tokens`: Anthropic, `OpenAI` completions, older chat.
    pub const MAX_TOKENS: Self = Self::new("max_tokens");
}

static MESSAGES: EndpointSpec = EndpointSpec {
    name: "messages",
    // `OpenAI`'s `/threads/{id}/messages` stores a message and calls no model
    paths: &[
        PathRule::takes(&["v1", "messages"]),
        PathRule::leaves(&["threads", "*", "messages"]),
        PathRule::takes(&["messages"]),
    ],
    has_turns: true,
    token_fields: &[TokenField::MAX_TOKENS],
    is_repeatable: true,
    closing: Closing::Message,
    response: &MESSAGE,
    ..endpoint()
};

static COUNT_TOKENS: EndpointSpec = EndpointSpec {
    name: "count_tokens",
    paths: &[PathRule::takes(&["messages", "count_tokens"])],
    is_repeatable: true,
    response: &COUNT,
    ..endpoint()
};

static MESSAGE_BATCHES: EndpointSpec = EndpointSpec {
    name: "message_batches",
    paths: &[PathRule::takes(&["messages", "batches"])],
    batch: Some(BatchMembers { requests: "requests", call: "params" }),
    token_fields: &[TokenField::MAX_TOKENS],
    response: &BATCH,
    ..endpoint()
};

/// Members that refer to state on the server, or make some.
const STATE_MEMBERS: &[Sign] = &[
    Sign::any("container"),
    Sign::any("context_management"),
    Sign::any("diagnostics"),
    Sign::any("fallback_credit_token"),
    Sign::any("message"),
];
const SERVER_TOOL_MEMBERS: &[Sign] = &[Sign::unless("mcp_servers", "[]")];

/// What its endpoints have in common.
const fn endpoint() -> EndpointSpec {
    EndpointSpec {
        name: "",
        protocol: &PROTOCOL,
        paths: &[],
        operation: "chat",
        takes_json: true,
        converses: true,
        has_turns: false,
        batch: None,
        messages: "messages",
        prompt: None,
        token_fields: &[],
        fewest_tokens: 0,
        reports_usage_on_request: false,
        is_repeatable: false,
        stores_answers: false,
        state_members: STATE_MEMBERS,
        server_tool_members: SERVER_TOOL_MEMBERS,
        closing: Closing::NamedError,
        response: &MESSAGE,
    }
}

fn error_object(error: &ApiError<'_>) -> serde_json::Value {
    json!({
        "type": "error",
        "error": { "type": error.kind, "message": error.message },
        "request_id": error.request_id,
    })
}

/// Answers to messages.
static MESSAGE: ResponseSchema = ResponseSchema {
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
    is_lines: false,
    usage,
};

/// Answers to counts of tokens, which cost nothing: a count is no usage.
static COUNT: ResponseSchema = ResponseSchema {
    whole: COUNT_MEMBERS,
    on_whole: |facts, json| on_costless(facts, json, Slot::Count),
    events: COUNT_MEMBERS,
    events_behind_content: COUNT_MEMBERS,
    types: None,
    on_event: |facts, json| facts.note_error(json, false),
    stops_before_its_end: false,
    is_lines: false,
    usage,
};

/// Answers to batches that are handed in; what they cost comes with their results.
static BATCH: ResponseSchema = ResponseSchema {
    whole: BATCH_MEMBERS,
    on_whole: |facts, json| on_costless(facts, json, Slot::Id),
    events: BATCH_MEMBERS,
    events_behind_content: BATCH_MEMBERS,
    types: None,
    on_event: |facts, json| facts.note_error(json, false),
    stops_before_its_end: false,
    is_lines: false,
    usage,
};

/// The results of a batch as they are downloaded: one JSON object a line.
static BATCH_RESULTS: BatchResults = BatchResults {
    path: &["messages", "batches", "*", "results"],
    line: &[
        ("custom_id", Pattern::Value(Slot::CustomId)),
        (
            "result",
            Pattern::Members(&[(
                "message",
                Pattern::Members(&[("model", Pattern::Value(Slot::Model)), ("usage", Pattern::Value(Slot::Usage))]),
            )]),
        ),
    ],
    usage,
};

const WHOLE: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("model", Pattern::Value(Slot::Model)),
    ("content", Pattern::Value(Slot::Content)),
    ("stop_reason", Pattern::Value(Slot::Stop)),
    ("usage", Pattern::Value(Slot::Usage)),
    ("container", Pattern::Value(Slot::Container)),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

const COUNT_MEMBERS: Members = &[
    ("id", Pattern::Value(Slot::Id)),
    ("input_tokens", Pattern::Value(Slot::Count)),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

const BATCH_MEMBERS: Members = &[("id", Pattern::Value(Slot::Id)), ("", Pattern::Also(ERROR_MEMBERS))];

const EVENTS: Members = &[
    ("type", Pattern::Value(Slot::Type)),
    (
        "message",
        Pattern::Members(&[
            ("id", Pattern::Value(Slot::Id)),
            ("model", Pattern::Value(Slot::Model)),
            ("usage", Pattern::Value(Slot::Usage)),
            ("container", Pattern::Value(Slot::Container)),
        ]),
    ),
    (
        "delta",
        Pattern::Members(&[
            ("stop_reason", Pattern::Value(Slot::Stop)),
            ("container", Pattern::Value(Slot::Container)),
        ]),
    ),
    ("usage", Pattern::Value(Slot::Usage)),
    (
        "content_block",
        Pattern::Members(&[
            ("type", Pattern::Value(Slot::BlockType)),
            ("to", Pattern::Members(&[("model", Pattern::Value(Slot::ServedBy))])),
        ]),
    ),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

fn on_whole(facts: &mut ResponseFacts, json: &Extractor) {
    facts.note(json);
    facts.note_usage(json);
    let is_answer = json.is_list(Slot::Content);
    facts.reach(match (is_answer, json.words()) {
        (true, 1..) => AnswerState::Complete,
        // one that says nothing as its reason to stop has not come to its end
        (true, 0) if json.mentions(Slot::Stop) => AnswerState::Partial,
        _ => AnswerState::Unrecognized,
    });
    facts.note_error(json, is_answer);
}

fn on_costless(facts: &mut ResponseFacts, json: &Extractor, sign: Slot) {
    facts.note(json);
    let is_answer = json.has(sign);
    facts.reach(if is_answer { AnswerState::Complete } else { AnswerState::Unrecognized });
    facts.note_error(json, is_answer);
}

fn on_event(facts: &mut ResponseFacts, json: &Extractor) {
    match json.get(Slot::Type) {
        Some(br#""content_block_delta""#) => facts.has_content = true,
        // a second one is none of this answer's
        Some(br#""message_start""#) if !facts.has_begun => {
            facts.has_begun = true;
            facts.note(json);
            facts.note_usage(json);
        }
        Some(br#""content_block_start""#) if json.get(Slot::BlockType) == Some(br#""fallback""#) => {
            // who answers from here on
            facts.model.note(json.get(Slot::ServedBy));
        }
        Some(br#""message_delta""#) => {
            facts.note_stop(json);
            facts.has_server_state |= json.has(Slot::Container);
            if let Some(usage) = response::usage_object(json) {
                facts.usage.merge(usage);
            }
        }
        Some(br#""message_stop""#) => facts.end(),
        // what is of no type at all is none of Anthropic's events
        Some(br#""error""#) | None => facts.note_error(json, false),
        _ => {}
    }
}

/// The meaning of Anthropic's usage object.
fn usage(of: &Figures<'_>) -> Usage {
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
        one.tokens = sum(one.tokens, iteration.tokens);
    }
    kept
}

fn sum(one: Tokens, other: Tokens) -> Tokens {
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    };
    Tokens {
        input: sum(one.input, other.input),
        cache_read: sum(one.cache_read, other.cache_read),
        cache_creation: sum(one.cache_creation, other.cache_creation),
        cache_creation_1h: sum(one.cache_creation_1h, other.cache_creation_1h),
        output: sum(one.output, other.output),
        reasoning: sum(one.reasoning, other.reasoning),
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
