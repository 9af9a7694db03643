//! Whose call it is, by what clients say of themselves: the session and the user. Believes what it is told; who calls for certain is
//! for plugins to say.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use plugin_api::{CallFacts, CallerFacts, Context, LONGEST_TEXT, is_credential, shortened};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        if call.caller == CallerFacts::default() {
            return;
        }
        let metadata = call.caller.metadata_user.as_deref().map(Metadata::read).unwrap_or_default();
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
            if let Some(found) = by_body(better, wanted, &call.caller, &metadata) {
                *wanted.slot(context) = Some(found);
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

fn by_body(sources: &[Source], wanted: Wanted, caller: &CallerFacts, metadata: &Metadata<'_>) -> Option<Arc<str>> {
    sources.iter().find_map(|source| match source {
        Source::Header(_) => None,
        Source::Body(Member::MetadataUser) => clean(metadata.of(wanted)?),
        Source::Body(Member::User) => clean(caller.user.as_deref()?),
        Source::Body(Member::PromptCacheKey) => clean(caller.prompt_cache_key.as_deref()?),
    })
}

fn has_body_before_header(sources: &[Source]) -> bool {
    let body = sources.iter().position(|source| matches!(source, Source::Body(_)));
    let header = sources.iter().rposition(|source| matches!(source, Source::Header(_)));
    body < header && body.is_some()
}

/// What `metadata.user_id` says: the user is the whole, unless Claude Code wrote it. That puts JSON there, or, in older releases,
/// `user_DEVICE_account_ACCOUNT_session_SESSION`; as a whole, either would make each session a user.
#[derive(Default)]
struct Metadata<'a> {
    session: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
}

impl<'a> Metadata<'a> {
    fn read(text: &'a str) -> Self {
        #[derive(Deserialize)]
        struct ClaudeCode {
            #[serde(default)]
            device_id: String,
            #[serde(default)]
            account_uuid: String,
            #[serde(default)]
            session_id: String,
        }
        if text.starts_with('{') {
            let Ok(ClaudeCode { device_id, account_uuid, session_id }) = serde_json::from_str(text) else {
                return Self::default();
            };
            let user = if account_uuid.is_empty() { device_id } else { account_uuid };
            return Self { session: Some(session_id.into()), user: Some(user.into()) };
        }
        // neither of the three has an underscore
        let parts = text.strip_prefix("user_").and_then(|rest| {
            let (rest, session) = rest.rsplit_once('_')?;
            let (rest, account) = rest.strip_suffix("_session")?.rsplit_once('_')?;
            Some((rest.strip_suffix("_account")?, account, session))
        });
        match parts {
            Some((device, account, session)) => {
                let user = if account.is_empty() { device } else { account };
                Self { session: Some(session.into()), user: Some(user.into()) }
            }
            None => Self { session: None, user: Some(text.into()) },
        }
    }

    fn of(&self, wanted: Wanted) -> Option<&str> {
        match wanted {
            Wanted::Session => self.session.as_deref(),
            Wanted::User => self.user.as_deref(),
        }
    }
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
mod tests {
    use http::HeaderValue;
    use plugin_api::Uuid;

    use super::*;

    const CLAUDE_CODE: &str = r#"{"device_id":"d1","account_uuid":"","session_id":"s1"}"#;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let all =
            all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        all.collect()
    }

    fn caller(metadata_user: &str, user: &str, prompt_cache_key: &str) -> CallFacts {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let caller = CallerFacts {
            metadata_user: some(metadata_user),
            user: some(user),
            prompt_cache_key: some(prompt_cache_key),
        };
        CallFacts { caller, ..CallFacts::default() }
    }

    /// The session and the user.
    fn attributed(attribution: &Attribution, headers: &HeaderMap, call: &CallFacts) -> (String, String) {
        let mut context = Context::new(Uuid::nil());
        attribution.of_head(headers, &mut context);
        attribution.of_call(headers, call, &mut context);
        let text = |value: &Option<Arc<str>>| value.as_deref().unwrap_or_default().to_owned();
        (text(&context.principal().session), text(&context.principal().user))
    }

    #[test]
    fn what_clients_send_today_names_session_and_user() {
        let old = "user_d2_account_a2_session_s2";
        for (sent, call, session, user) in [
            (&[][..], caller("", "", ""), "", ""),
            (&[("x-claude-code-session-id", "s0")], caller(CLAUDE_CODE, "", ""), "s0", "d1"),
            (&[], caller(CLAUDE_CODE, "", ""), "s1", "d1"),
            (&[], caller(&CLAUDE_CODE.replace(":\"\"", ":\"a1\""), "", ""), "s1", "a1"),
            (&[], caller(old, "", ""), "s2", "a2"),
            (&[], caller("user_d3_account__session_s3", "", ""), "s3", "d3"),
            (&[("session-id", "s4"), ("thread-id", "t4")], caller("", "", "p4"), "s4", ""),
            (&[("x-session-id", "s5"), ("x-user", "u5")], caller("u0", "u1", ""), "s5", "u5"),
            (&[], caller("alice@example.com", "", ""), "", "alice@example.com"),
            (&[], caller("", "bob", "p6"), "p6", "bob"),
            (&[], caller("{broken", "bob", ""), "", "bob"),
        ] {
            let found = attributed(&Attribution::default(), &headers(sent), &call);
            assert_eq!(found, (session.to_owned(), user.to_owned()), "{sent:?} {call:?}");
        }
    }

    #[test]
    fn the_order_of_the_yaml_counts_across_head_and_body() {
        let read = |json: &str| serde_json::from_str::<Attribution>(json).unwrap();
        let order =
            read(r#"{"session":["body:prompt_cache_key","header:x-session-id"],"user":["body:user","header:x-user"]}"#);
        let sent = headers(&[("x-session-id", "s"), ("x-user", "u")]);
        assert_eq!(attributed(&order, &sent, &caller("", "", "p")), ("p".to_owned(), "u".to_owned()));
        assert_eq!(attributed(&order, &sent, &caller("", "b", "")), ("s".to_owned(), "b".to_owned()));
        let none = read(r#"{"session":[],"user":[]}"#);
        assert_eq!(attributed(&none, &sent, &caller(CLAUDE_CODE, "b", "p")), (String::new(), String::new()));
        for wrong in ["x-user", "header:", "header:authorization", "header:x-api-key", "body:model", "cookie:a"] {
            assert!(Source::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        for source in Attribution::default().session.into_iter().chain(Attribution::default().user) {
            assert_eq!(Source::try_from(String::from(source.clone())), Ok(source));
        }
    }

    #[test]
    fn what_a_plugin_has_found_out_stays() {
        let (sent, call) = (headers(&[("x-user", "u")]), caller("", "b", "p"));
        let mut context = Context::new(Uuid::nil());
        Attribution::default().of_head(&sent, &mut context);
        context.principal_mut().user = Some("known".into());
        Attribution::default().of_call(&sent, &call, &mut context);
        assert_eq!(
            (context.principal().user.as_deref(), context.principal().session.as_deref()),
            (Some("known"), Some("p"))
        );
    }

    #[test]
    fn texts_of_clients_are_bounded_and_have_no_control_characters() {
        let long = "x".repeat(5000);
        let (session, user) =
            attributed(&Attribution::default(), &headers(&[("x-user", &long)]), &caller("", "", "a\u{0}\n\u{1b}[31mb"));
        assert_eq!(session, "a[31mb");
        assert!(user.len() <= LONGEST_TEXT, "{}", user.len());
        assert_eq!(
            attributed(&Attribution::default(), &HeaderMap::new(), &caller("", " \n", "\u{7}")),
            Default::default()
        );
    }
}
