//! The providers whose API can be passed on at the paths that callers use.

/// A provider.
#[derive(Debug)]
pub(super) struct Provider {
    /// Its name, before the `/` of a model.
    pub(super) name: &'static str,
    /// Where it is, if that is known.
    pub(super) base: Option<&'static str>,
    /// Where its key goes.
    pub(super) auth: Auth,
    /// The variable that `LiteLLM` takes the key from where the file says nothing.
    pub(super) key: Option<&'static str>,
}

/// Where a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Bearer,
    ApiKey,
    Nowhere,
}

const fn bearer(name: &'static str, base: Option<&'static str>, key: Option<&'static str>) -> Provider {
    Provider { name, base, auth: Auth::Bearer, key }
}

const PROVIDERS: [Provider; 16] = [
    bearer("openai", Some("https://api.openai.com"), Some("OPENAI_API_KEY")),
    Provider {
        name: "anthropic",
        base: Some("https://api.anthropic.com"),
        auth: Auth::ApiKey,
        key: Some("ANTHROPIC_API_KEY"),
    },
    bearer("text-completion-openai", Some("https://api.openai.com"), Some("OPENAI_API_KEY")),
    bearer("mistral", Some("https://api.mistral.ai"), Some("MISTRAL_API_KEY")),
    bearer("deepseek", Some("https://api.deepseek.com"), Some("DEEPSEEK_API_KEY")),
    bearer("xai", Some("https://api.x.ai"), Some("XAI_API_KEY")),
    bearer("together_ai", Some("https://api.together.xyz"), Some("TOGETHERAI_API_KEY")),
    bearer("hosted_vllm", None, None),
    bearer("vllm", None, None),
    bearer("openai_like", None, None),
    bearer("custom_openai", None, None),
    bearer("litellm_proxy", None, None),
    bearer("lm_studio", None, None),
    bearer("llamafile", None, None),
    Provider { name: "ollama", base: Some("http://localhost:11434"), auth: Auth::Nowhere, key: None },
    Provider { name: "ollama_chat", base: Some("http://localhost:11434"), auth: Auth::Nowhere, key: None },
];

/// How the models of providers are called that `LiteLLM` knows without a prefix.
const BEGINNINGS: [(&str, &str); 9] = [
    ("claude", "anthropic"),
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-", "openai"),
    ("whisper", "openai"),
    ("*", "openai"),
];

impl Provider {
    /// The provider of a model, and the model's name there. `has_base` says that the file gives an address.
    ///
    /// # Errors
    /// Why the model cannot be served.
    pub(super) fn of(model: &str, custom: Option<&str>, has_base: bool) -> Result<(&'static Self, String), String> {
        let named = |name: &str| PROVIDERS.iter().find(|provider| provider.name == name);
        if let Some(custom) = custom {
            let provider = named(custom).ok_or_else(|| unknown(custom))?;
            let prefix = model.strip_prefix(custom).and_then(|rest| rest.strip_prefix('/'));
            return Ok((provider, prefix.unwrap_or(model).to_owned()));
        }
        if let Some((prefix, rest)) = model.split_once('/') {
            let provider = named(prefix).ok_or_else(|| unknown(prefix))?;
            return Ok((provider, rest.to_owned()));
        }
        let by_name = BEGINNINGS.iter().find(|(beginning, _)| model.starts_with(beginning)).map(|(_, name)| *name);
        let name = by_name
            .or(has_base.then_some("openai"))
            .ok_or_else(|| format!("the provider of `{model}` is not known"))?;
        named(name).map(|provider| (provider, model.to_owned())).ok_or_else(|| unknown(name))
    }
}

fn unknown(provider: &str) -> String {
    format!(
        "LiteLLM translates calls for `{provider}`, which has other paths, bodies or signatures; they cannot be passed on"
    )
}
