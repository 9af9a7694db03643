//! Which members of a call mean nothing to its answer, and which keep it out of the cache. Knows no values but theirs.

use plugin_api::{Dialect, Endpoint};

use crate::bypass::Bypass;

/// Where in a call a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Call,
    Metadata,
    StreamOptions,
    Thinking,
    Tools,
    Tool,
    Elsewhere,
}

/// Tools of these types run in the client; all others run on the server.
const CLIENT_TOOLS: [&[u8]; 2] = [b"custom", b"function"];
const CLIENT_TOOL_FAMILIES: [&[u8]; 4] = [b"bash_", b"computer_", b"memory_", b"text_editor_"];

impl Place {
    /// Where the value of this key stands.
    pub(crate) fn of(self, endpoint: Endpoint, key: &[u8]) -> Self {
        if self != Self::Call {
            return Self::Elsewhere;
        }
        match key {
            b"metadata" if endpoint.dialect() == Dialect::Anthropic => Self::Metadata,
            b"stream_options" if endpoint.dialect() == Dialect::OpenAi => Self::StreamOptions,
            _ if is(key, "thinking") => Self::Thinking,
            _ if is(key, "tools") => Self::Tools,
            _ => Self::Elsewhere,
        }
    }

    /// Where the items of a list stand.
    pub(crate) fn item(self) -> Self {
        if self == Self::Tools { Self::Tool } else { Self::Elsewhere }
    }

    /// Whether a member of this key means nothing to the answer, whatever its value.
    pub(crate) fn ignores(self, endpoint: Endpoint, key: &[u8]) -> bool {
        match (self, endpoint.dialect()) {
            (Self::Call, Dialect::OpenAi) => {
                matches!(key, b"user" | b"safety_identifier" | b"prompt_cache_key" | b"metadata")
            }
            (Self::Metadata, _) => key == b"user_id",
            (Self::StreamOptions, _) => key == b"include_obfuscation",
            _ => false,
        }
    }

    /// Whether an object at this place means nothing once no member of it means anything.
    pub(crate) fn may_be_left_out(self) -> bool {
        matches!(self, Self::Metadata | Self::StreamOptions)
    }
}

/// What was seen in a call.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    state: bool,
    server_tools: bool,
    thinking: bool,
    thinking_disabled: bool,
    store: Option<bool>,
}

impl Seen {
    /// Looks at a member: its key, and its value as the text has it.
    pub(crate) fn member(&mut self, endpoint: Endpoint, place: Place, key: &[u8], value: &[u8]) {
        match place {
            Place::Call => self.member_of_call(endpoint, key, value),
            Place::Tool if is(key, "type") => self.server_tools |= !is_client_tool(value),
            Place::Thinking if is(key, "type") => self.thinking_disabled = value == b"\"disabled\"",
            _ => {}
        }
    }

    /// # Errors
    /// What keeps the call out of the cache.
    pub(crate) fn judge(&self, endpoint: Endpoint) -> Result<(), Bypass> {
        // the Responses API stores by default, and what is stored can be referred to by the id of this very answer
        let stores = self.store.unwrap_or(endpoint == Endpoint::Responses);
        if self.state || stores {
            Err(Bypass::State)
        } else if self.server_tools {
            Err(Bypass::Tools)
        } else if self.thinking {
            Err(Bypass::Thinking)
        } else {
            Ok(())
        }
    }

    fn member_of_call(&mut self, endpoint: Endpoint, key: &[u8], value: &[u8]) {
        if value == b"null" {
            return;
        }
        let any = |names: &[&str]| names.iter().any(|name| is(key, name));
        match endpoint {
            Endpoint::Messages | Endpoint::CountTokens | Endpoint::MessageBatches => {
                self.state |=
                    any(&["container", "context_management", "diagnostics", "fallback_credit_token", "message"]);
                self.server_tools |= is(key, "mcp_servers") && value != b"[]";
            }
            Endpoint::Responses => {
                self.state |= any(&["previous_response_id", "conversation", "prompt"]);
                self.state |= is(key, "background") && value != b"false";
            }
            Endpoint::ChatCompletions => {
                // spoken answers can be referred to for an hour
                self.state |= is(key, "audio");
                self.server_tools |= is(key, "web_search_options");
            }
            Endpoint::Completions
            | Endpoint::Embeddings
            | Endpoint::ImageGenerations
            | Endpoint::ImageEdits
            | Endpoint::Transcriptions
            | Endpoint::Speech
            | Endpoint::Moderations
            | Endpoint::Ollama => {}
        }
        if is(key, "store") {
            self.store = Some(value != b"false");
        } else if is(key, "thinking") {
            self.thinking |= !self.thinking_disabled;
        }
    }
}

/// Whether a server may read the key under this name; some fold letter case.
fn is(key: &[u8], name: &str) -> bool {
    key.eq_ignore_ascii_case(name.as_bytes())
}

fn is_client_tool(value: &[u8]) -> bool {
    let Some(kind) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return value == b"null";
    };
    CLIENT_TOOLS.contains(&kind) || CLIENT_TOOL_FAMILIES.iter().any(|family| kind.starts_with(family))
}
