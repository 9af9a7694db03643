//! What a request wants of this plugin, by its method and path.

use plugin_api::http::Method;

/// What Claude Code asks for, to see whether anybody is there.
const HELLO: &str = "/api/hello";
const MODELS: &str = "/v1/models";

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ModelsRequest {
    /// A sign of life.
    Hello,
    /// All models.
    All,
    /// The model of this name.
    One(String),
}

impl ModelsRequest {
    /// What a GET or HEAD of this path wants, whatever stands before it (`/anthropic/v1/models`); `None`: nothing of this plugin.
    pub(crate) fn of(method: &Method, path: &str) -> Option<Self> {
        let path = url_path::normalize(path).ok()?;
        if *path == *HELLO {
            return (*method == Method::HEAD).then_some(Self::Hello);
        }
        // a name may hold slashes
        let (_, rest) = path.split_once(MODELS)?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some(Self::All),
            None => None,
            Some("") => Some(Self::All),
            Some(id) => Some(Self::One(id.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_and_its_models_are_found_in_every_spelling_of_the_path() {
        let one = |id: &str| Some(ModelsRequest::One(id.to_owned()));
        for (path, target) in [
            ("/v1/models", Some(ModelsRequest::All)),
            ("/v1//models/", Some(ModelsRequest::All)),
            ("/anthropic/v1/models", Some(ModelsRequest::All)),
            ("/v1/models/gpt-5", one("gpt-5")),
            ("/v1/models/openai%2Fgpt-5", one("openai/gpt-5")),
            ("/v1/models/openai/gpt-5", one("openai/gpt-5")),
            ("/v1/modelsx", None),
            ("/v1/model", None),
            ("/api/hello", None),
            ("/..", None),
        ] {
            assert_eq!(ModelsRequest::of(&Method::GET, path), target, "{path}");
        }
        assert_eq!(ModelsRequest::of(&Method::HEAD, "/api/hello"), Some(ModelsRequest::Hello));
        assert_eq!(ModelsRequest::of(&Method::HEAD, "/v1/models"), Some(ModelsRequest::All));
    }
}
