//! What a request is for, by its method and path.

use http::Method;

use super::batches::Target;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    /// A call to a model: it counts, and may be delayed, refused or broken off.
    Call(Kind),
    /// Batches and their files, apart from handing one in, which is a call.
    Batches(Target<'a>),
    /// The list of models, or one of them.
    Models(Option<&'a str>),
    Health,
    Stats,
    Unknown,
}

/// A call to a model, or what costs like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Messages,
    CountTokens,
    Batches,
    Chat,
    Completions,
    Responses,
    Embeddings,
}

impl<'a> Endpoint<'a> {
    /// The endpoint of a method and a path without its query.
    pub(super) fn of(method: &Method, path: &'a str) -> Self {
        if *method == Method::POST {
            return match path {
                "/v1/messages" => Self::Call(Kind::Messages),
                "/v1/messages/count_tokens" => Self::Call(Kind::CountTokens),
                "/v1/messages/batches" | "/v1/batches" => Self::Call(Kind::Batches),
                "/v1/chat/completions" => Self::Call(Kind::Chat),
                "/v1/completions" => Self::Call(Kind::Completions),
                "/v1/responses" => Self::Call(Kind::Responses),
                "/v1/embeddings" => Self::Call(Kind::Embeddings),
                _ => Target::of(method, path).map_or(Self::Unknown, Self::Batches),
            };
        }
        if *method != Method::GET && *method != Method::HEAD {
            return Self::Unknown;
        }
        match path {
            "/health" => Self::Health,
            "/stats" => Self::Stats,
            "/v1/models" => Self::Models(None),
            _ => match path.strip_prefix("/v1/models/") {
                Some(id) if !id.is_empty() => Self::Models(Some(id)),
                _ => Target::of(method, path).map_or(Self::Unknown, Self::Batches),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_and_path_choose_the_endpoint() {
        assert_eq!(Endpoint::of(&Method::POST, "/v1/messages"), Endpoint::Call(Kind::Messages));
        assert_eq!(Endpoint::of(&Method::GET, "/v1/messages"), Endpoint::Unknown);
        assert_eq!(Endpoint::of(&Method::GET, "/v1/models"), Endpoint::Models(None));
        assert_eq!(Endpoint::of(&Method::GET, "/v1/models/a/b"), Endpoint::Models(Some("a/b")));
        assert_eq!(Endpoint::of(&Method::HEAD, "/health"), Endpoint::Health);
        assert_eq!(Endpoint::of(&Method::DELETE, "/v1/models/a"), Endpoint::Unknown);
    }
}
