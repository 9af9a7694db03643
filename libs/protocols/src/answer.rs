//! What the answer to a call says of itself, read from a copy as it passed. Does not read it, and keeps no content.

use serde::{Deserialize, Serialize};

use crate::Usage;

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
    /// The hash of what the model says, where it was [asked for](crate::AnswerReader::with_words) and all of it that counts came.
    #[serde(default)]
    pub words: Option<[u8; 32]>,
    /// The tasks that it gives to subagents, each as [`ConversationHash::of_first_message`](crate::ConversationHash::of_first_message).
    #[serde(default)]
    pub tasks: Vec<[u8; 32]>,
}

impl Answer {
    /// Its texts, which strangers wrote, but for the provider's own usage object.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let own = [&mut self.id, &mut self.model, &mut self.stop_reason, &mut self.error_type];
        own.into_iter().flatten().chain(self.usage.iter_mut().flat_map(Usage::texts_mut))
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
