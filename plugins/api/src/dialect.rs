//! Which API a request speaks, and which of its endpoints are calls to a model. Does not read bodies.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

/// The family of API whose shapes a caller expects: of errors, above all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Anthropic's Messages API.
    Anthropic,
    /// `OpenAI`'s API, and the many that speak it.
    OpenAi,
}

impl Dialect {
    /// The dialect of a request: by its endpoint, else by Anthropic's own headers, else `OpenAI`'s.
    #[must_use]
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        match Endpoint::of(path) {
            Some(endpoint) => endpoint.dialect(),
            None if headers.contains_key("anthropic-version") => Self::Anthropic,
            None => Self::OpenAi,
        }
    }

    /// The type that its error objects give to a status.
    #[must_use]
    pub fn error_type(self, status: StatusCode) -> &'static str {
        match (self, status.as_u16()) {
            (Self::Anthropic, 401) => "authentication_error",
            (Self::Anthropic, 402) => "billing_error",
            (Self::Anthropic, 403) => "permission_error",
            (Self::Anthropic, 404) => "not_found_error",
            (Self::Anthropic, 408 | 504) => "timeout_error",
            (Self::Anthropic, 413) => "request_too_large",
            (Self::Anthropic, 429) => "rate_limit_error",
            (Self::Anthropic, 529) => "overloaded_error",
            (Self::Anthropic, 500..) => "api_error",
            (Self::OpenAi, 402) => "insufficient_quota",
            (Self::OpenAi, 429) => "requests",
            (Self::OpenAi, 500..) => "server_error",
            (Self::Anthropic | Self::OpenAi, _) => "invalid_request_error",
        }
    }
}

/// An endpoint that takes a call to a model as a JSON body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Anthropic `POST /v1/messages`.
    Messages,
    /// Anthropic `POST /v1/messages/count_tokens`: counts, generates nothing.
    CountTokens,
    /// Anthropic `POST /v1/messages/batches`: many calls under `requests[].params`.
    MessageBatches,
    /// `OpenAI` `POST /v1/chat/completions`.
    ChatCompletions,
    /// `OpenAI` `POST /v1/completions`.
    Completions,
    /// `OpenAI` `POST /v1/responses`.
    Responses,
    /// `OpenAI` `POST /v1/embeddings`: generates no tokens.
    Embeddings,
    /// `OpenAI` `POST /v1/images/generations`.
    ImageGenerations,
    /// `OpenAI` `POST /v1/images/edits` and `…/variations`, whose body is a form.
    ImageEdits,
    /// `OpenAI` `POST /v1/audio/transcriptions` and `…/translations`, whose body is a form.
    Transcriptions,
    /// `OpenAI` `POST /v1/audio/speech`.
    Speech,
    /// `OpenAI` `POST /v1/moderations`.
    Moderations,
    /// Ollama's own `POST /api/chat`, `/api/generate` and `/api/embed`, under whose paths others serve other things.
    Ollama,
}

impl Endpoint {
    /// The endpoint that a path names, whatever stands before it (`/anthropic/v1/messages`,
    /// `/openai/deployments/x/chat/completions`).
    ///
    /// Servers take more spellings than one for a path, and a limit that only sees the canonical one
    /// can be walked around. So percent-encoding, letter case, doubled slashes, dot segments and a trailing slash
    /// do not matter here. The path that is sent upstream stays as the client wrote it.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        if is_plain(path) {
            let mut segments = path.rsplit('/');
            return Self::named(std::array::from_fn(|_| segments.next().unwrap_or_default()));
        }
        let path = unescaped(path);
        let mut above = 0_usize; // how many segments the `..` seen so far take away
        let mut segments = path.rsplit(['/', '\\']).map(bare).filter(|segment| match *segment {
            "" | "." => false,
            ".." => {
                above += 1;
                false
            }
            _ if above > 0 => {
                above -= 1;
                false
            }
            _ => true,
        });
        Self::named(std::array::from_fn(|_| segments.next().unwrap_or_default()))
    }

    /// The endpoint that the last three segments name, the very last first.
    fn named(tail: [&str; 3]) -> Option<Self> {
        let is = |at: usize, name: &str| tail[at].eq_ignore_ascii_case(name);
        if is(0, "messages") {
            // `OpenAI`'s `/threads/{id}/messages` stores a message and calls no model
            (!is(2, "threads") || is(1, "v1")).then_some(Self::Messages)
        } else if is(0, "count_tokens") && is(1, "messages") {
            Some(Self::CountTokens)
        } else if is(0, "batches") && is(1, "messages") {
            Some(Self::MessageBatches)
        } else if is(0, "completions") {
            Some(if is(1, "chat") { Self::ChatCompletions } else { Self::Completions })
        } else if is(0, "responses") {
            Some(Self::Responses)
        } else if is(0, "embeddings") {
            Some(Self::Embeddings)
        } else if is(0, "moderations") {
            Some(Self::Moderations)
        } else if is(1, "api") && (is(0, "chat") || is(0, "generate") || is(0, "embed")) {
            Some(Self::Ollama)
        } else if is(1, "images") {
            let edits = is(0, "edits") || is(0, "variations");
            if is(0, "generations") { Some(Self::ImageGenerations) } else { edits.then_some(Self::ImageEdits) }
        } else if is(1, "audio") {
            let transcribes = is(0, "transcriptions") || is(0, "translations");
            if is(0, "speech") { Some(Self::Speech) } else { transcribes.then_some(Self::Transcriptions) }
        } else {
            None
        }
    }

    /// The word for it in logs and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
            Self::MessageBatches => "message_batches",
            Self::ChatCompletions => "chat_completions",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::ImageGenerations => "image_generations",
            Self::ImageEdits => "image_edits",
            Self::Transcriptions => "transcriptions",
            Self::Speech => "speech",
            Self::Moderations => "moderations",
            Self::Ollama => "ollama",
        }
    }

    /// The dialect in which this endpoint is spoken.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Messages | Self::CountTokens | Self::MessageBatches => Dialect::Anthropic,
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::Embeddings
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::Transcriptions
            | Self::Speech
            | Self::Moderations
            | Self::Ollama => Dialect::OpenAi,
        }
    }

    /// Whether its call is a JSON body that is read. A form with a picture or a recording passes as it comes, and so does what may
    /// be no call at all.
    #[must_use]
    pub fn takes_json(self) -> bool {
        !matches!(self, Self::ImageEdits | Self::Transcriptions | Self::Ollama)
    }

    /// Whether its calls hold a conversation.
    #[must_use]
    pub fn converses(self) -> bool {
        match self {
            Self::Messages | Self::CountTokens | Self::MessageBatches | Self::ChatCompletions | Self::Responses => true,
            Self::Completions
            | Self::Embeddings
            | Self::ImageGenerations
            | Self::ImageEdits
            | Self::Transcriptions
            | Self::Speech
            | Self::Moderations
            | Self::Ollama => false,
        }
    }
}

/// How often a path is unescaped: `%256D` is `%6D` to one server and `m` to the next behind it.
const UNESCAPINGS: usize = 3;

/// Whether the path has one spelling only, as nearly all have: letters, digits and what separates words, between single
/// slashes.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    let plain = path.bytes().all(|byte| {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte == b'/' && before != b'/';
        before = byte;
        plain
    });
    plain && before != b'/'
}

/// The path without percent-encoding. Borrowed where it has none, as nearly always.
fn unescaped(path: &str) -> Cow<'_, str> {
    let mut path = Cow::Borrowed(path);
    for _ in 0..UNESCAPINGS {
        match unescaped_once(&path) {
            Some(plainer) => path = Cow::Owned(plainer),
            None => break,
        }
    }
    path
}

/// `None` if nothing in it is escaped.
fn unescaped_once(path: &str) -> Option<String> {
    let mut rest = path.as_bytes();
    let mut plain = Vec::new();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digit = |at: usize| rest.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (byte, length) = match (digit(at + 1), digit(at + 2)) {
            (Some(high), Some(low)) => (u8::try_from(high * 16 + low).unwrap_or(b'%'), 3),
            _ => (b'%', 1),
        };
        plain.extend_from_slice(&rest[..at]);
        plain.push(byte);
        rest = &rest[at + length..];
    }
    if plain.is_empty() {
        return None;
    }
    plain.extend_from_slice(rest);
    Some(String::from_utf8_lossy(&plain).into_owned())
}

/// A segment as servers compare it: without matrix parameters (`messages;v=1`), without what an unescaped
/// `?`, `#` or NUL would cut off, without space around it.
fn bare(segment: &str) -> &str {
    segment.split([';', '?', '#', '\0']).next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_endpoint_whatever_stands_before_it() {
        for (path, endpoint) in [
            ("/v1/messages", Endpoint::Messages),
            ("/anthropic/v1/messages", Endpoint::Messages),
            ("/v1/messages/count_tokens", Endpoint::CountTokens),
            ("/v1/messages/batches", Endpoint::MessageBatches),
            ("/v1/chat/completions", Endpoint::ChatCompletions),
            ("/openai/deployments/gpt/chat/completions", Endpoint::ChatCompletions),
            ("/v1/completions", Endpoint::Completions),
            ("/v1/responses", Endpoint::Responses),
            ("/v1/embeddings", Endpoint::Embeddings),
            ("/v1/images/generations", Endpoint::ImageGenerations),
            ("/v1/images/edits", Endpoint::ImageEdits),
            ("/v1/images/variations", Endpoint::ImageEdits),
            ("/openai/deployments/gpt/audio/transcriptions", Endpoint::Transcriptions),
            ("/v1/audio/translations", Endpoint::Transcriptions),
            ("/v1/audio/speech", Endpoint::Speech),
            ("/v1/moderations", Endpoint::Moderations),
            ("/api/chat", Endpoint::Ollama),
            ("/ollama/api/generate", Endpoint::Ollama),
            ("/api/embed", Endpoint::Ollama),
        ] {
            assert_eq!(Endpoint::of(path), Some(endpoint), "{path}");
        }
    }

    #[test]
    fn a_path_cannot_hide_its_endpoint_in_another_spelling() {
        for path in [
            "/v1/%6Dessages",
            "/v1/messages/",
            "//v1//messages",
            "/v1/./messages",
            "/v1/x/../messages",
            "/v1/messages/x/%2e%2e",
            "/V1/Messages",
            "/v1%2Fmessages",
            "/v1/messages;a=1",
            "/v1/messages;/",
            "/v1/%256Dessages",
            "/v1/messages%3Fbeta=true",
            "/v1/messages%00.txt",
            "/v1/messages%20",
            "/v1\\messages",
            "/v1/x/..;/messages",
            "/threads/v1/messages",
        ] {
            assert_eq!(Endpoint::of(path), Some(Endpoint::Messages), "{path}");
        }
    }

    #[test]
    fn other_paths_are_no_calls() {
        for path in [
            "/",
            "",
            "/v1/models",
            "/v1/images",
            "/v1/audio/voices",
            "/v1/chat",
            "/api/tags",
            "/v1/files",
            "/v1/messages/batches/b_1",
            "/v1/threads/t_1/messages",
            "/v1/messages/..",
            "/v1/messages%zz",
            "/v1/%+6messages",
            "/v1/%",
            "%",
        ] {
            assert_eq!(Endpoint::of(path), None, "{path}");
        }
    }
}
