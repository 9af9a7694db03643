//! Anthropic's Messages API: one object, or events whose usage overrides what came before it.

mod usage;

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::json;

use crate::answer::AnswerState;
use crate::batch_results::BatchResults;
use crate::compatible::ERROR_MEMBERS;
use crate::endpoint::{BatchMembers, EndpointSpec, PathRule, Sign};
use crate::protocol::{ApiError, ErrorSchema, LimitHeaders, MemberPath, ResetFormat};
use crate::reader::{TextEvent, is_plain_rest};
use crate::refused::Closing;
use crate::response::{self, ResponseFacts, ResponseSchema};
use crate::slot::{Extractor, Members, Pattern, Slot};
use crate::{Endpoint, Protocol, TokenField};
use usage::usage;

/// The protocol.
pub(crate) static PROTOCOL: Protocol = Protocol {
    name: "anthropic",
    provider: "anthropic",
    endpoints: &[Endpoint::new(&MESSAGES), Endpoint::new(&COUNT_TOKENS), Endpoint::new(&MESSAGE_BATCHES)],
    websockets: &[],
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
        used_up: None,
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
        earlier_answer: None,
        prompt: None,
        token_fields: &[],
        fewest_tokens: 0,
        reports_usage_on_request: false,
        is_repeatable: false,
        stores_answers: false,
        state_members: STATE_MEMBERS,
        server_tool_members: SERVER_TOOL_MEMBERS,
        closing: Closing::NamedError,
        websocket: None,
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
    types_with_words: Some(&[
        r#""content_block_delta""#,
        r#""message_start""#,
        r#""content_block_start""#,
        r#""message_delta""#,
        r#""message_stop""#,
        r#""error""#,
    ]),
    on_event,
    text_event: Some(&TEXT_EVENT),
    stops_before_its_end: false,
    is_lines: false,
    usage,
};

static TEXT_EVENT: TextEvent = TextEvent {
    before: LazyLock::new(|| Finder::new(br#""delta":{"type":"text_delta","text":""#)),
    // spaces are put in against those who count bytes, and servers add members of their own
    says_nothing: |rest| rest.strip_prefix(b"}").is_some_and(|rest| is_plain_rest(rest, &[b"type", b"delta"])),
    is_one: |json| json.get(Slot::Type) == Some(br#""content_block_delta""#),
};

/// Answers to counts of tokens, which cost nothing: a count is no usage.
static COUNT: ResponseSchema = ResponseSchema {
    whole: COUNT_MEMBERS,
    on_whole: |facts, json| on_costless(facts, json, Slot::Count),
    events: COUNT_MEMBERS,
    events_behind_content: COUNT_MEMBERS,
    types: None,
    types_with_words: None,
    on_event: |facts, json| facts.read_error(json, false),
    text_event: None,
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
    types_with_words: None,
    on_event: |facts, json| facts.read_error(json, false),
    text_event: None,
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
            ("text", Pattern::Value(Slot::Text)),
            ("partial_json", Pattern::Value(Slot::PartialJson)),
        ]),
    ),
    ("usage", Pattern::Value(Slot::Usage)),
    (
        "content_block",
        Pattern::Members(&[
            ("type", Pattern::Value(Slot::BlockType)),
            ("id", Pattern::Value(Slot::BlockId)),
            ("name", Pattern::Value(Slot::BlockName)),
            ("input", Pattern::Value(Slot::BlockInput)),
            ("text", Pattern::Value(Slot::Text)),
            ("to", Pattern::Members(&[("model", Pattern::Value(Slot::ServedBy))])),
        ]),
    ),
    ("", Pattern::Also(ERROR_MEMBERS)),
];

fn on_whole(facts: &mut ResponseFacts, json: &Extractor) {
    facts.read(json);
    facts.read_usage(json);
    let is_answer = json.is_list(Slot::Content);
    facts.reach(match (is_answer, json.words()) {
        (true, 1..) => AnswerState::Complete,
        // one that says nothing as its reason to stop has not come to its end
        (true, 0) if json.mentions(Slot::Stop) => AnswerState::Partial,
        _ => AnswerState::Unrecognized,
    });
    facts.read_error(json, is_answer);
    facts.hear(json, |spoken, content| spoken.blocks(content));
}

fn on_costless(facts: &mut ResponseFacts, json: &Extractor, sign: Slot) {
    facts.read(json);
    let is_answer = json.has(sign);
    facts.reach(if is_answer { AnswerState::Complete } else { AnswerState::Unrecognized });
    facts.read_error(json, is_answer);
}

fn on_event(facts: &mut ResponseFacts, json: &Extractor) {
    match json.get(Slot::Type) {
        Some(br#""content_block_delta""#) => {
            facts.has_content = true;
            if let Some(spoken) = &mut facts.spoken {
                spoken.piece(json);
            }
        }
        // a second one is none of this answer's
        Some(br#""message_start""#) if !facts.has_begun => {
            facts.has_begun = true;
            facts.read(json);
            facts.read_usage(json);
        }
        Some(br#""content_block_start""#) => {
            if json.get(Slot::BlockType) == Some(br#""fallback""#) {
                // who answers from here on
                facts.model.update(json.get(Slot::ServedBy));
            }
            if let Some(spoken) = &mut facts.spoken {
                spoken.begin_block(json);
            }
        }
        Some(br#""message_delta""#) => {
            facts.read_stop(json);
            facts.has_server_state |= json.has(Slot::Container);
            if let Some(usage) = response::usage_object(json) {
                facts.usage.merge(usage);
            }
        }
        Some(br#""message_stop""#) => facts.end(),
        // what is of no type at all is none of Anthropic's events
        Some(br#""error""#) | None => facts.read_error(json, false),
        _ => {}
    }
}
