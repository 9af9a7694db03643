//! An endpoint: what its path is, and what its calls and answers look like. A handle into the protocol that it belongs to.

use std::fmt;
use std::ops::Deref;

use crate::path;
use crate::refused::Closing;
use crate::response::ResponseSchema;
use crate::{MessageSchema, Protocol, TokenField};

/// An endpoint that takes calls to a model: a handle, as cheap as a reference. Its facts are the fields of [`EndpointSpec`].
///
/// ```
/// use protocols::{Endpoint, Protocol};
///
/// let endpoint = Endpoint::of("/v1/chat/completions").unwrap();
/// assert_eq!(endpoint, Endpoint::CHAT_COMPLETIONS);
/// assert!(endpoint.takes_json && endpoint.converses);
/// assert_eq!(endpoint.protocol, Protocol::OPENAI);
/// ```
#[derive(Clone, Copy)]
pub struct Endpoint(&'static EndpointSpec);

/// The facts of an endpoint.
pub struct EndpointSpec {
    /// The word for it in logs and in the ledger.
    pub name: &'static str,
    /// The protocol that it belongs to.
    pub protocol: &'static Protocol,
    /// The paths that name it, by their last segments. The first rule that fits decides.
    pub paths: &'static [PathRule],
    /// The operation, as OpenTelemetry's conventions for generative AI name it.
    pub operation: &'static str,
    /// Whether its call is a JSON body that is read. A form with a picture or a recording passes as it comes, and so does what
    /// may be no call at all.
    pub takes_json: bool,
    /// Whether its calls hold a conversation.
    pub converses: bool,
    /// Whether a call is a place in a conversation that its answer continues, so that its messages are hashed on demand.
    pub has_turns: bool,
    /// Where many calls stand in one body; none where a body is one call.
    pub batch: Option<BatchMembers>,
    /// The member that is the list of messages.
    pub messages: &'static str,
    /// The member that has the `id` of the answer that the call goes on from, so that its messages are only the new ones.
    pub earlier_answer: Option<&'static str>,
    /// The member that is a prompt without messages.
    pub prompt: Option<&'static str>,
    /// The names of the token limit that it reads, the one of today first. None where it generates no tokens.
    pub token_fields: &'static [TokenField],
    /// The fewest tokens that it lets a call ask for.
    pub fewest_tokens: u64,
    /// Whether a stream reports its usage only where `stream_options.include_usage` asks for it.
    pub reports_usage_on_request: bool,
    /// Whether the answer to a call may be given again to the same call.
    pub is_repeatable: bool,
    /// Whether it keeps answers for later calls to refer to, unless `store` is `false`.
    pub stores_answers: bool,
    /// Members that refer to state on the server, or make some.
    pub state_members: &'static [Sign],
    /// Members that have the server run tools.
    pub server_tool_members: &'static [Sign],
    /// How its calls stand in the messages of a WebSocket; none where they are requests.
    pub websocket: Option<&'static MessageSchema>,
    /// How its answers say that they are refused.
    pub closing: Closing,
    /// The shape of its answers.
    pub(crate) response: &'static ResponseSchema,
}

/// Where the calls of a batch stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMembers {
    /// The list of requests.
    pub requests: &'static str,
    /// The call in each of them.
    pub call: &'static str,
}

/// A member that says something by its being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Its key.
    pub member: &'static str,
    /// The JSON text of a value under which it says nothing, beside `null`.
    pub unless: Option<&'static str>,
}

/// A rule for paths: whether those that end with these segments name the endpoint. `*` is any segment.
#[derive(Clone, Copy, Debug)]
pub struct PathRule {
    pub(crate) tail: &'static [&'static str],
    pub(crate) takes: bool,
}

impl Endpoint {
    pub(crate) const fn new(spec: &'static EndpointSpec) -> Self {
        Self(spec)
    }

    /// The endpoint that a path names, whatever stands before it (`/anthropic/v1/messages`,
    /// `/openai/deployments/x/chat/completions`).
    ///
    /// Servers take more spellings than one for a path, and a limit that only sees the canonical one
    /// can be walked around. So percent-encoding, letter case, doubled slashes, dot segments and a trailing slash
    /// do not matter here. The path that is sent upstream stays as the client wrote it.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        path::with_tail(path, |tail| {
            let mut endpoints = Protocol::all().iter().flat_map(|protocol| protocol.endpoints);
            endpoints.find(|endpoint| endpoint.takes(&tail)).copied()
        })
    }

    /// The endpoint that the path of a WebSocket's handshake names, whatever its spelling.
    #[must_use]
    pub fn of_websocket(path: &str) -> Option<Self> {
        path::with_tail(path, |tail| {
            let mut endpoints = Protocol::all().iter().flat_map(|protocol| protocol.websockets);
            endpoints.find(|endpoint| endpoint.takes(&tail)).copied()
        })
    }

    /// The word for it in logs and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.name
    }

    /// Whether its bodies hold many calls.
    #[must_use]
    pub fn is_batch(self) -> bool {
        self.0.batch.is_some()
    }

    /// A path that names it.
    #[must_use]
    pub fn example_path(self) -> String {
        let tail = self.0.paths.iter().find(|rule| rule.takes).map_or(&[][..], |rule| rule.tail);
        let version = if matches!(tail.first(), Some(&("api" | "v1"))) { "" } else { "/v1" };
        format!("{version}/{}", tail.join("/"))
    }

    /// Whether it takes a path whose last segments are these, the very last first.
    fn takes(self, tail: &[&str; path::TAIL]) -> bool {
        let fits = |rule: &&PathRule| {
            let mut segments = rule.tail.iter().rev().zip(tail);
            segments.all(|(name, segment)| *name == "*" || segment.eq_ignore_ascii_case(name))
        };
        self.0.paths.iter().find(fits).is_some_and(|rule| rule.takes)
    }
}

impl PathRule {
    /// Paths that end with these segments name the endpoint.
    pub(crate) const fn takes(tail: &'static [&'static str]) -> Self {
        Self { tail, takes: true }
    }

    /// They do not.
    pub(crate) const fn leaves(tail: &'static [&'static str]) -> Self {
        Self { tail, takes: false }
    }
}

impl Sign {
    pub(crate) const fn any(member: &'static str) -> Self {
        Self { member, unless: None }
    }

    pub(crate) const fn unless(member: &'static str, value: &'static str) -> Self {
        Self { member, unless: Some(value) }
    }
}

impl Deref for Endpoint {
    type Target = EndpointSpec;

    fn deref(&self) -> &EndpointSpec {
        self.0
    }
}

/// Each endpoint is one value, so two are the same where their places are.
impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Endpoint {}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_endpoint_whatever_stands_before_it() {
        for (path, endpoint) in [
            ("/v1/messages", Endpoint::MESSAGES),
            ("/anthropic/v1/messages", Endpoint::MESSAGES),
            ("/v1/messages/count_tokens", Endpoint::COUNT_TOKENS),
            ("/v1/messages/batches", Endpoint::MESSAGE_BATCHES),
            ("/v1/chat/completions", Endpoint::CHAT_COMPLETIONS),
            ("/openai/deployments/gpt/chat/completions", Endpoint::CHAT_COMPLETIONS),
            ("/v1/completions", Endpoint::COMPLETIONS),
            ("/v1/responses", Endpoint::RESPONSES),
            ("/v1/embeddings", Endpoint::EMBEDDINGS),
            ("/v1/images/generations", Endpoint::IMAGE_GENERATIONS),
            ("/v1/images/edits", Endpoint::IMAGE_EDITS),
            ("/v1/images/variations", Endpoint::IMAGE_EDITS),
            ("/openai/deployments/gpt/audio/transcriptions", Endpoint::TRANSCRIPTIONS),
            ("/v1/audio/translations", Endpoint::TRANSCRIPTIONS),
            ("/v1/audio/speech", Endpoint::SPEECH),
            ("/v1/moderations", Endpoint::MODERATIONS),
            ("/api/chat", Endpoint::OLLAMA),
            ("/ollama/api/generate", Endpoint::OLLAMA),
            ("/api/embed", Endpoint::OLLAMA),
            ("/threads/v1/messages", Endpoint::MESSAGES),
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
            assert_eq!(Endpoint::of(path), Some(Endpoint::MESSAGES), "{path}");
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

    #[test]
    fn every_endpoint_is_named_by_its_example() {
        for endpoint in Protocol::all().iter().flat_map(|protocol| protocol.endpoints) {
            assert_eq!(Endpoint::of(&endpoint.example_path()), Some(*endpoint));
        }
    }
}
