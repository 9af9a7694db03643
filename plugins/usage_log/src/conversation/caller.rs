//! What the head and the body of a call say of its part in a session, beside the caller's name: the agent that calls, as Claude Code
//! tells it, and whether the call is asked beside the conversation, such as a title for it.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use memchr::memmem;
use plugin_api::{CallFacts, LONGEST_TEXT, shortened};

/// Claude Code's session.
const SESSION: HeaderName = HeaderName::from_static("x-claude-code-session-id");
/// The subagent that calls; no other call has it.
const AGENT: HeaderName = HeaderName::from_static("x-claude-code-agent-id");
/// The subagent that started it, where that is one.
const PARENT_AGENT: HeaderName = HeaderName::from_static("x-claude-code-parent-agent-id");
/// What the call is for, where a client tells gateways.
const CLASS: HeaderName = HeaderName::from_static("x-claude-code-request-class");
/// The class of calls beside a conversation.
const AUXILIARY: &[u8] = b"auxiliary";
/// What tokens begin with that are renewed again and again: Anthropic's, and those of any provider that signs them.
const RENEWED: [&[u8]; 2] = [b"sk-ant-oat", b"eyJ"];
/// What the first message says where Claude Code goes on behind a summary.
const CONTINUED: &[u8] = b"This session is being continued from a previous conversation";

/// Whether a call is asked beside the conversation of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aside {
    /// It is a turn of it.
    #[default]
    No,
    /// If the conversation has begun.
    IfBegun,
    /// It is.
    Yes,
}

/// What a call says of its part in a session.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    /// Whether its token is one of those that are renewed.
    pub(super) is_renewed: bool,
    pub(super) aside: Aside,
    is_claude_code: bool,
    /// The agent that calls, and the one that started it.
    agent: Option<Box<(String, Option<String>)>>,
}

impl Caller {
    /// What the head says.
    pub(crate) fn of_head(headers: &HeaderMap) -> Self {
        let text = |name| {
            let text = headers.get(name)?.to_str().ok()?.trim();
            (!text.is_empty()).then(|| shortened(text, LONGEST_TEXT).into_owned())
        };
        let is_claude_code = headers.contains_key(SESSION);
        let is_aside = is_claude_code && headers.get(CLASS).is_some_and(|class| class.as_bytes() == AUXILIARY);
        Self {
            is_renewed: headers.get(AUTHORIZATION).is_some_and(|value| is_renewed(value.as_bytes())),
            aside: if is_aside { Aside::Yes } else { Aside::No },
            is_claude_code,
            agent: text(AGENT).map(|agent| Box::new((agent, text(PARENT_AGENT)))),
        }
    }

    /// What the body says besides, in its facts and its text. A first message without tools is no turn of an agent's, unless it goes on behind a summary.
    pub(crate) fn read_call(&mut self, facts: &CallFacts, text: &[u8]) {
        let metadata = facts.caller.as_deref().and_then(|caller| caller.metadata_user.as_deref());
        let is_claude_code = || self.is_claude_code || metadata.is_some_and(|metadata| metadata.contains("session"));
        if facts.asks_quota {
            self.aside = Aside::Yes;
        } else if self.aside == Aside::No && facts.messages == 1 && !facts.tools && is_claude_code() {
            let goes_on = memmem::find(text, CONTINUED).is_some();
            self.aside = if goes_on { Aside::No } else { Aside::IfBegun };
        }
    }

    /// The agent that calls; none of the main one.
    pub(super) fn agent(&self) -> Option<&str> {
        self.agent.as_ref().map(|agent| &*agent.0)
    }

    /// The agent that started it; none of the main one.
    pub(super) fn parent_agent(&self) -> Option<&str> {
        self.agent.as_ref().and_then(|agent| agent.1.as_deref())
    }
}

impl Aside {
    /// Its number in the journal.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::No => 0,
            Self::IfBegun => 1,
            Self::Yes => 2,
        }
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
        [Self::No, Self::IfBegun, Self::Yes].into_iter().find(|aside| aside.code() == code)
    }
}

fn is_renewed(authorization: &[u8]) -> bool {
    let (scheme, token) = authorization.split_at_checked(7).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"bearer ") && RENEWED.iter().any(|beginning| token.trim_ascii().starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_that_are_renewed_are_no_names() {
        for (authorization, renewed) in [
            ("Bearer sk-ant-oat01-abc", true),
            ("bearer  eyJhbGciOi.e30.x", true),
            ("Bearer sk-ant-api03-abc", false),
            ("Basic eyJhbGciOi", false),
            ("Bearer", false),
            ("eyJ", false),
        ] {
            assert_eq!(is_renewed(authorization.as_bytes()), renewed, "{authorization}");
        }
    }
}
