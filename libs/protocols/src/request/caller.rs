//! What a call says of who makes it: its user, and the key of its prompt cache.

use serde::Deserialize;

use super::key::Key;
use crate::facts::CallerFacts;

/// A member that says something of the caller.
#[derive(Clone, Copy)]
pub(super) enum Member {
    Metadata,
    User,
    PromptCacheKey,
}

/// The member that a key is, if it says something of the caller.
pub(super) fn member(key: &Key<'_>) -> Option<Member> {
    match &*key.name {
        b"metadata" => Some(Member::Metadata),
        b"user" => Some(Member::User),
        b"prompt_cache_key" => Some(Member::PromptCacheKey),
        _ => None,
    }
}

/// Notes the value of a member. Of one that stands twice the last counts.
pub(super) fn read(member: Member, value: &str, caller: &mut CallerFacts) {
    match member {
        Member::Metadata => caller.metadata_user = user_id(value),
        Member::User => caller.user = text(value),
        Member::PromptCacheKey => caller.prompt_cache_key = text(value),
    }
}

/// A JSON string that is not too long.
fn text(value: &str) -> Option<String> {
    let longest = CallerFacts::LONGEST;
    // every byte may be written as an escape of six
    if !value.starts_with('"') || value.len() > longest * 6 + 2 {
        return None;
    }
    serde_json::from_str::<String>(value).ok().filter(|text| text.len() <= longest && !text.is_empty())
}

/// Anthropic's `metadata.user_id`.
fn user_id(value: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        user_id: Option<&'a serde_json::value::RawValue>,
    }
    serde_json::from_str::<Metadata<'_>>(value).ok()?.user_id.and_then(|id| text(id.get()))
}
