//! What a call is for, in the words of Claude Nexus.

use protocols::{CallFacts, Endpoint};

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
    /// The type of a call to this endpoint, by the rule of Claude Nexus, which knows Anthropic's calls only: `OpenAI`'s
    /// instructions and developer messages count as its system blocks. What holds no conversation is a query.
    #[must_use]
    pub fn of(endpoint: Endpoint, call: &CallFacts) -> Self {
        match call.system_blocks {
            _ if call.asks_quota => Self::Quota,
            2.. if endpoint.converses => Self::Inference,
            _ => Self::QueryEvaluation,
        }
    }

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
