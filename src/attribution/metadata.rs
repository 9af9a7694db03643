//! What `metadata.user_id` of a call says of its session and its user.

use std::borrow::Cow;

use serde::Deserialize;

/// What `metadata.user_id` says: the user is the whole, unless Claude Code wrote it. That puts JSON there, or, in older releases,
/// `user_DEVICE_account_ACCOUNT_session_SESSION`; as a whole, either would make each session a user.
#[derive(Default)]
pub(super) struct Metadata<'a> {
    pub(super) session: Option<Cow<'a, str>>,
    pub(super) user: Option<Cow<'a, str>>,
}

impl<'a> Metadata<'a> {
    pub(super) fn read(text: &'a str) -> Self {
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
}
