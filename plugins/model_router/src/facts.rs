//! What the conditions ask of a call's text: read once, for those facts that any condition of the settings asks for.

use call_content::Content;
use plugin_api::Endpoint;

use crate::script::Script;
use crate::settings::Router;

/// Which texts are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    last_user: bool,
    system: bool,
    script: bool,
}

/// The facts.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) turns: u64,
    pub(crate) input_tokens: u64,
    pub(crate) images: bool,
    pub(crate) documents: bool,
    pub(crate) thinking: bool,
    /// The last text of the user, and the script of it.
    pub(crate) last_user: String,
    pub(crate) script: Option<Script>,
    /// The text of the system prompt.
    pub(crate) system: String,
}

impl Wanted {
    /// What the rules of a name ask for.
    pub(crate) fn by(router: &Router) -> Self {
        let asks = |of: fn(&crate::settings::When) -> bool| router.rules.iter().any(|rule| of(&rule.when));
        Self {
            last_user: asks(|when| when.text.is_some()),
            system: asks(|when| when.system.is_some()),
            script: asks(|when| when.script.is_some()),
        }
    }
}

impl Facts {
    /// Those of a call's text.
    pub(crate) fn of(endpoint: Endpoint, text: &[u8], wanted: Wanted) -> Self {
        let content = Content::read(endpoint, std::str::from_utf8(text).unwrap_or_default());
        let last_user = if wanted.last_user || wanted.script { content.last_user() } else { "".into() };
        let system = if wanted.system { content.system() } else { "".into() };
        Self {
            turns: content.turns,
            input_tokens: content.input_tokens(),
            images: content.images > 0,
            documents: content.documents > 0,
            thinking: content.thinking,
            script: if wanted.script { Script::of(&last_user) } else { None },
            last_user: last_user.into_owned(),
            system: system.into_owned(),
        }
    }
}
