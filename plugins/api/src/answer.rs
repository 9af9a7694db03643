//! What the answer to a call says of itself, read from a copy as it passed. Does not read it, and keeps no content.

use serde::{Deserialize, Serialize};

use crate::Usage;
use crate::shortened::shorten_any;

/// The facts of one answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Answer {
    /// How far it got.
    pub state: AnswerState,
    /// The provider's id of it (`msg_…`, `chatcmpl-…`).
    pub id: Option<String>,
    /// The model that answered and is billed; it may be another than the one asked for.
    pub model: Option<String>,
    /// Why the model stopped (`stop_reason`, `finish_reason`).
    pub stop_reason: Option<String>,
    /// The type of the error that it ended with, in the provider's words (`overloaded_error`).
    pub error_type: Option<String>,
    /// What it cost, as far as it said.
    pub usage: Option<Usage>,
    /// Whether it names state on the server that later calls can go on with, and that expires.
    #[serde(default)]
    pub server_state: bool,
}

impl Answer {
    /// The same, each of its texts in at most [`LONGEST_TEXT`](crate::LONGEST_TEXT) bytes.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        for text in [&mut self.id, &mut self.model, &mut self.stop_reason, &mut self.error_type] {
            shorten_any(text);
        }
        if let Some(usage) = &mut self.usage {
            usage.shorten();
        }
        self
    }
}

/// How far an answer got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum AnswerState {
    /// It broke off, or is still under way: what is known may not be all.
    #[default]
    Partial,
    /// It is a whole answer of its endpoint: it has what such an answer has, and says why it stopped, or its last event has been
    /// seen.
    Complete,
    /// It says that it failed, whatever its status.
    Failed,
    /// All of its JSON has been seen, and no error, but it is nothing that an answer of its endpoint is known by.
    Unrecognized,
}

/// What a call is for, in the three words that Claude Nexus has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// A conversation with a system prompt of two blocks or more.
    #[default]
    Inference,
    /// A call with at most one system block.
    QueryEvaluation,
    /// The last user's text is `quota`: Claude Code asks whether it may go on.
    Quota,
}

impl RequestType {
    /// The word for it in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::QueryEvaluation => "query_evaluation",
            Self::Quota => "quota",
        }
    }
}

/// A call's place in a conversation, by hashes of its list of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    /// Of all its messages.
    pub turn: [u8; 32],
    /// Of all but the last two, which an earlier call had as its own; none where there are fewer than three.
    pub previous: Option<[u8; 32]>,
}
