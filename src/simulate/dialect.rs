//! Which of the two providers a request means, by its path or else by Anthropic's own header.

use http::HeaderMap;
use plugin_api::Protocol;

/// A provider that is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Anthropic,
    OpenAi,
}

impl Dialect {
    pub(super) fn of(path: &str, headers: &HeaderMap) -> Self {
        if Protocol::of(path, headers) == Protocol::ANTHROPIC { Self::Anthropic } else { Self::OpenAi }
    }
}
