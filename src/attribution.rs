//! Whose call it is, by what clients say of themselves: the session and the user. Believes what it is told; who calls for certain is
//! for plugins to say.

mod metadata;

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use plugin_api::{CallFacts, CallerFacts, Context, LONGEST_TEXT, is_credential, shortened};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use metadata::Metadata;

/// Where the session and the user of a call are looked for. The first place that has something counts. Rows, the access log and
/// plugins know them; a plugin that identifies callers goes before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Attribution {
    /// The session: `header:NAME`, `body:prompt_cache_key`, `body:metadata.user_id` (the session that Claude Code writes there) or
    /// `body:user`. Bodies are looked at where a plugin has them read.
    pub session: Vec<Source>,
    /// The user: `header:NAME`, `body:metadata.user_id` (of what Claude Code writes there, the account or else the device),
    /// `body:user` or `body:prompt_cache_key`.
    pub user: Vec<Source>,
}

impl Default for Attribution {
    fn default() -> Self {
        let header = |name| Source::Header(HeaderName::from_static(name));
        Self {
            session: vec![
                header("x-claude-code-session-id"),
                header("session-id"),
                header("session_id"),
                header("thread-id"),
                header("x-session-id"),
                Source::Body(Member::PromptCacheKey),
                Source::Body(Member::MetadataUser),
            ],
            user: vec![header("x-user"), Source::Body(Member::MetadataUser), Source::Body(Member::User)],
        }
    }
}

impl Attribution {
    /// The headers that are looked at.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.session.iter().chain(&self.user).filter_map(|source| match source {
            Source::Header(name) => Some(name),
            Source::Body(_) => None,
        })
    }
}

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Source {
    /// A header.
    Header(HeaderName),
    /// A member of the body.
    Body(Member),
}

/// A member of a body that says something of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// `metadata.user_id`
    MetadataUser,
    /// `user`
    User,
    /// `prompt_cache_key`
    PromptCacheKey,
}

impl Member {
    const ALL: [(Self, &'static str); 3] =
        [(Self::MetadataUser, "metadata.user_id"), (Self::User, "user"), (Self::PromptCacheKey, "prompt_cache_key")];
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            let members = Member::ALL.map(|(_, path)| format!("`body:{path}`")).join(", ");
            format!("`{text}` is no place to look in; wanted `header:NAME`, {members}")
        };
        if let Some(name) = text.strip_prefix("header:") {
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            if is_credential(name.as_str()) {
                return Err(format!("`{text}` may hold a secret, which would then stand in rows and logs"));
            }
            return Ok(Self::Header(name));
        }
        let path = text.strip_prefix("body:").ok_or_else(wrong)?;
        let member = Member::ALL.iter().find(|(_, known)| *known == path).ok_or_else(wrong)?;
        Ok(Self::Body(member.0))
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        match source {
            Source::Header(name) => format!("header:{name}"),
            Source::Body(member) => {
                let path = Member::ALL.iter().find(|(known, _)| *known == member).map_or("", |(_, path)| path);
                format!("body:{path}")
            }
        }
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
enum Wanted {
    Session,
    User,
}

impl Attribution {
    /// Says what the head of a request tells, before its plugins run.
    pub fn of_head(&self, headers: &HeaderMap, context: &mut Context) {
        for (sources, wanted) in self.all() {
            if let Some((_, found)) = by_head(sources, headers) {
                *wanted.slot(context) = Some(found);
            }
        }
    }

    /// Says what its body tells besides, before plugins see that. What a plugin has said of the caller stays.
    pub fn of_call(&self, headers: &HeaderMap, call: &CallFacts, context: &mut Context) {
        let Some(caller) = call.caller.as_deref() else { return };
        let metadata = caller.metadata_user.as_deref().map(Metadata::read).unwrap_or_default();
        for (sources, wanted) in self.all() {
            // places before the one that the head was found at are better
            let better = match wanted.of(context) {
                None => sources,
                Some(_) if !has_body_before_header(sources) => continue,
                Some(known) => match by_head(sources, headers) {
                    Some((at, found)) if found == *known => &sources[..at],
                    _ => continue,
                },
            };
            if let Some((found, is_shared)) = by_body(better, wanted, caller, &metadata) {
                *wanted.slot(context) = Some(found);
                if matches!(wanted, Wanted::Session) {
                    context.principal_mut().session_is_shared = is_shared;
                }
            }
        }
    }

    fn all(&self) -> [(&[Source], Wanted); 2] {
        [(&self.session, Wanted::Session), (&self.user, Wanted::User)]
    }
}

impl Wanted {
    fn of(self, context: &Context) -> Option<&Arc<str>> {
        match self {
            Self::Session => context.principal().session.as_ref(),
            Self::User => context.principal().user.as_ref(),
        }
    }

    fn slot(self, context: &mut Context) -> &mut Option<Arc<str>> {
        let principal = context.principal_mut();
        match self {
            Self::Session => &mut principal.session,
            Self::User => &mut principal.user,
        }
    }
}

/// What the first of these headers says that says something, and its place among the sources. The head is passed through once:
/// it has few headers, and each look-up would hash a name.
fn by_head(sources: &[Source], headers: &HeaderMap) -> Option<(usize, Arc<str>)> {
    let mut first: Option<(usize, Arc<str>)> = None;
    for (name, value) in headers {
        let before = first.as_ref().map_or(sources.len(), |(at, _)| *at);
        let at = sources[..before].iter().position(|source| matches!(source, Source::Header(header) if header == name));
        if let Some(at) = at
            && let Some(text) = std::str::from_utf8(value.as_bytes()).ok().and_then(clean)
        {
            first = Some((at, text));
        }
    }
    first
}

/// What the first of these members says that says something, and whether sessions may share it.
fn by_body(
    sources: &[Source],
    wanted: Wanted,
    caller: &CallerFacts,
    metadata: &Metadata<'_>,
) -> Option<(Arc<str>, bool)> {
    sources.iter().find_map(|source| match source {
        Source::Header(_) => None,
        Source::Body(Member::MetadataUser) => clean(match wanted {
            Wanted::Session => metadata.session.as_deref()?,
            Wanted::User => metadata.user.as_deref()?,
        })
        .map(|text| (text, false)),
        Source::Body(Member::User) => clean(caller.user.as_deref()?).map(|text| (text, true)),
        Source::Body(Member::PromptCacheKey) => clean(caller.prompt_cache_key.as_deref()?).map(|text| (text, true)),
    })
}

fn has_body_before_header(sources: &[Source]) -> bool {
    let body = sources.iter().position(|source| matches!(source, Source::Body(_)));
    let header = sources.iter().rposition(|source| matches!(source, Source::Header(_)));
    body < header && body.is_some()
}

/// A text of a client as rows and logs may have it: without control characters, in bounded length; none if nothing is left.
fn clean(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    let text = if text.contains(char::is_control) {
        Cow::Owned(text.chars().filter(|c| !c.is_control()).collect())
    } else {
        Cow::Borrowed(text)
    };
    (!text.is_empty()).then(|| shortened(&text, LONGEST_TEXT).as_ref().into())
}

#[cfg(test)]
mod tests;
