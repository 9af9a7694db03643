//! `OpenAI`'s API, which many servers speak: its endpoints, and their calls. The shapes of their answers are below this file,
//! and what other servers do differently is in the table of [`compatible`](crate::compatible).

mod chat;
mod media;
mod realtime;
mod responses;

use serde_json::json;

use crate::endpoint::{EndpointSpec, PathRule, Sign};
use crate::protocol::{ApiError, ErrorSchema, LimitHeaders, MemberPath, ResetFormat};
use crate::refused::Closing;
use crate::{Endpoint, MessageSchema, Protocol, TokenField};

/// The protocol.
pub(crate) static PROTOCOL: Protocol = Protocol {
    name: "openai",
    provider: "openai",
    endpoints: &[
        Endpoint::new(&CHAT_COMPLETIONS),
        Endpoint::new(&COMPLETIONS),
        Endpoint::new(&RESPONSES),
        Endpoint::new(&EMBEDDINGS),
        Endpoint::new(&IMAGE_GENERATIONS),
        Endpoint::new(&IMAGE_EDITS),
        Endpoint::new(&TRANSCRIPTIONS),
        Endpoint::new(&SPEECH),
        Endpoint::new(&MODERATIONS),
    ],
    websockets: &[Endpoint::new(&RESPONSES_WEBSOCKET), Endpoint::new(&REALTIME)],
    marker_header: None,
    token_fields: &[
        TokenField::MAX_TOKENS,
        TokenField::MAX_COMPLETION_TOKENS,
        TokenField::MAX_OUTPUT_TOKENS,
        TokenField::MAX_RESPONSE_OUTPUT_TOKENS,
    ],
    // the types of its SDKs allow it
    null_limit_is_none: true,
    session_fields: &[
        MemberPath::member("user"),
        MemberPath::member("safety_identifier"),
        MemberPath::member("prompt_cache_key"),
        MemberPath::member("metadata"),
    ],
    padding_fields: &[MemberPath::inner("stream_options", "include_obfuscation")],
    errors: ERRORS,
    limit_headers: Some(&LIMIT_HEADERS),
    batch_results: None,
};

/// Its error objects, which compatible servers have, too.
pub(crate) const ERRORS: ErrorSchema = ErrorSchema {
    types: &[(402, 402, "insufficient_quota"), (429, 429, "requests"), (500, u16::MAX, "server_error")],
    types_of_codes: &[],
    // the words by which Codex stops and says when; after any others it waits for `retry-after`, be that days
    used_up: Some("usage_limit_reached"),
    object: error_object,
    request_id_header: None,
};

static LIMIT_HEADERS: LimitHeaders = LimitHeaders {
    requests: ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    tokens: ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    reset: ResetFormat::Duration,
};

impl Endpoint {
    /// `OpenAI` `POST /v1/chat/completions`.
    pub const CHAT_COMPLETIONS: Self = Self::new(&CHAT_COMPLETIONS);
    /// `OpenAI` `POST /v1/completions`.
    pub const COMPLETIONS: Self = Self::new(&COMPLETIONS);
    /// `OpenAI` `POST /v1/responses`.
    pub const RESPONSES: Self = Self::new(&RESPONSES);
    /// `OpenAI` `POST /v1/embeddings`: generates no tokens.
    pub const EMBEDDINGS: Self = Self::new(&EMBEDDINGS);
    /// `OpenAI` `POST /v1/images/generations`.
    pub const IMAGE_GENERATIONS: Self = Self::new(&IMAGE_GENERATIONS);
    /// `OpenAI` `POST /v1/images/edits` and `…/variations`, whose body is a form.
    pub const IMAGE_EDITS: Self = Self::new(&IMAGE_EDITS);
    /// `OpenAI` `POST /v1/audio/transcriptions` and `…/translations`, whose body is a form.
    pub const TRANSCRIPTIONS: Self = Self::new(&TRANSCRIPTIONS);
    /// `OpenAI` `POST /v1/audio/speech`.
    pub const SPEECH: Self = Self::new(&SPEECH);
    /// `OpenAI` `POST /v1/moderations`.
    pub const MODERATIONS: Self = Self::new(&MODERATIONS);
    /// The messages of `OpenAI`'s `GET /v1/responses` as a WebSocket.
    pub const RESPONSES_WEBSOCKET: Self = Self::new(&RESPONSES_WEBSOCKET);
    /// The messages of `OpenAI`'s `GET /v1/realtime`.
    pub const REALTIME: Self = Self::new(&REALTIME);
}

impl TokenField {
    /// `max_completion_tokens`: `OpenAI` chat.
    pub const MAX_COMPLETION_TOKENS: Self = Self::new("max_completion_tokens");
    /// `max_output_tokens`: `OpenAI` responses.
    pub const MAX_OUTPUT_TOKENS: Self = Self::new("max_output_tokens");
    /// `max_response_output_tokens`: `OpenAI` realtime before its general availability.
    pub const MAX_RESPONSE_OUTPUT_TOKENS: Self = Self::new("max_response_output_tokens");
}

static CHAT_COMPLETIONS: EndpointSpec = EndpointSpec {
    name: "chat_completions",
    paths: &[PathRule::takes(&["chat", "completions"])],
    operation: "chat",
    converses: true,
    has_turns: true,
    token_fields: &[TokenField::MAX_COMPLETION_TOKENS, TokenField::MAX_TOKENS],
    reports_usage_on_request: true,
    is_repeatable: true,
    // spoken answers can be referred to for an hour
    state_members: &[Sign::any("audio")],
    server_tool_members: &[Sign::any("web_search_options")],
    closing: Closing::Deltas,
    response: &chat::CHOICES,
    ..endpoint()
};

static COMPLETIONS: EndpointSpec = EndpointSpec {
    name: "completions",
    paths: &[PathRule::takes(&["completions"])],
    operation: "text_completion",
    prompt: Some("prompt"),
    token_fields: &[TokenField::MAX_TOKENS],
    reports_usage_on_request: true,
    is_repeatable: true,
    closing: Closing::Texts,
    response: &chat::CHOICES,
    ..endpoint()
};

static RESPONSES: EndpointSpec = EndpointSpec { is_repeatable: true, ..responses() };

static RESPONSES_WEBSOCKET: EndpointSpec = EndpointSpec {
    websocket: Some(&MessageSchema {
        // the second is that of its first releases
        call_types: &["response.create", "response.append"],
        call_member: None,
        server_begins: false,
        model_in_query: false,
    }),
    ..responses()
};

static REALTIME: EndpointSpec = EndpointSpec {
    name: "realtime",
    paths: &[PathRule::takes(&["realtime"])],
    operation: "chat",
    converses: true,
    messages: "input",
    token_fields: &[TokenField::MAX_OUTPUT_TOKENS, TokenField::MAX_RESPONSE_OUTPUT_TOKENS],
    fewest_tokens: 1,
    stores_answers: true,
    websocket: Some(&MessageSchema {
        call_types: &["response.create"],
        call_member: Some("response"),
        server_begins: true,
        model_in_query: true,
    }),
    response: &realtime::RESPONSE,
    ..endpoint()
};

/// What calls to responses have in common, be they requests or messages.
const fn responses() -> EndpointSpec {
    EndpointSpec {
        name: "responses",
        paths: RESPONSES_PATHS,
        operation: "chat",
        converses: true,
        has_turns: true,
        messages: "input",
        earlier_answer: Some("previous_response_id"),
        token_fields: &[TokenField::MAX_OUTPUT_TOKENS],
        fewest_tokens: 16,
        // what is stored can be referred to by the id of this very answer
        stores_answers: true,
        state_members: RESPONSES_STATE,
        closing: Closing::Response,
        response: &responses::RESPONSE,
        ..endpoint()
    }
}

const RESPONSES_PATHS: &[PathRule] = &[PathRule::takes(&["responses"])];
const RESPONSES_STATE: &[Sign] = &[
    Sign::any("previous_response_id"),
    Sign::any("conversation"),
    Sign::any("prompt"),
    Sign::unless("background", "false"),
];

static EMBEDDINGS: EndpointSpec = EndpointSpec {
    name: "embeddings",
    paths: &[PathRule::takes(&["embeddings"])],
    operation: "embeddings",
    is_repeatable: true,
    response: &chat::EMBEDDINGS,
    ..endpoint()
};

static IMAGE_GENERATIONS: EndpointSpec =
    EndpointSpec { name: "image_generations", paths: &[PathRule::takes(&["images", "generations"])], ..endpoint() };

static IMAGE_EDITS: EndpointSpec = EndpointSpec {
    name: "image_edits",
    paths: &[PathRule::takes(&["images", "edits"]), PathRule::takes(&["images", "variations"])],
    takes_json: false,
    ..endpoint()
};

static TRANSCRIPTIONS: EndpointSpec = EndpointSpec {
    name: "transcriptions",
    paths: &[PathRule::takes(&["audio", "transcriptions"]), PathRule::takes(&["audio", "translations"])],
    takes_json: false,
    ..endpoint()
};

static SPEECH: EndpointSpec =
    EndpointSpec { name: "speech", paths: &[PathRule::takes(&["audio", "speech"])], ..endpoint() };

static MODERATIONS: EndpointSpec =
    EndpointSpec { name: "moderations", paths: &[PathRule::takes(&["moderations"])], ..endpoint() };

/// What most of its endpoints have in common.
const fn endpoint() -> EndpointSpec {
    EndpointSpec {
        name: "",
        protocol: &PROTOCOL,
        paths: &[],
        operation: "generate_content",
        takes_json: true,
        converses: false,
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
        state_members: &[],
        server_tool_members: &[],
        websocket: None,
        closing: Closing::Error,
        response: &media::MEDIA,
    }
}

fn error_object(error: &ApiError<'_>) -> serde_json::Value {
    let mut object = json!({ "message": error.message, "type": error.kind, "param": null, "code": error.code });
    if let Some(resets_at) = error.resets_at {
        object["resets_at"] = resets_at.into();
    }
    json!({ "error": object })
}
