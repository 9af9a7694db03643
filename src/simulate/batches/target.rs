//! What a request for batches or files is for, by its method and path.

use http::Method;

use super::super::dialect::Dialect;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Target<'a> {
    Create(Dialect),
    List(Dialect),
    One(Dialect, &'a str),
    Cancel(Dialect, &'a str),
    /// The results of one of Anthropic's.
    Results(&'a str),
    /// A file for one of OpenAI's.
    Upload,
    Files,
    File(&'a str),
    Content(&'a str),
}

impl<'a> Target<'a> {
    /// The target of a method and a path without its query.
    pub(in super::super) fn of(method: &Method, path: &'a str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
        Some(match (method.as_str(), &segments[..]) {
            ("POST", ["messages", "batches"]) => Self::Create(Dialect::Anthropic),
            ("GET", ["messages", "batches"]) => Self::List(Dialect::Anthropic),
            ("GET", ["messages", "batches", id]) => Self::One(Dialect::Anthropic, id),
            ("POST", ["messages", "batches", id, "cancel"]) => Self::Cancel(Dialect::Anthropic, id),
            ("GET", ["messages", "batches", id, "results"]) => Self::Results(id),
            ("POST", ["batches"]) => Self::Create(Dialect::OpenAi),
            ("GET", ["batches"]) => Self::List(Dialect::OpenAi),
            ("GET", ["batches", id]) => Self::One(Dialect::OpenAi, id),
            ("POST", ["batches", id, "cancel"]) => Self::Cancel(Dialect::OpenAi, id),
            ("POST", ["files"]) => Self::Upload,
            ("GET", ["files"]) => Self::Files,
            ("GET", ["files", id]) => Self::File(id),
            ("GET", ["files", id, "content"]) => Self::Content(id),
            _ => return None,
        })
    }
}
