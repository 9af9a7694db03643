//! Takes out of a report what must not be shown: the secrets of the file, and the credentials of the request.

use serde_json::Value;

use crate::config::Config;

/// What is shown in the place of a secret.
pub(super) const MASK: &str = "***";
/// The member that tells of which kind a part of a report is.
const KIND: &str = "kind";
/// A shorter one may be a word.
const SHORTEST: usize = 4;

/// Hides secrets in every text of a report.
pub(super) fn redact(config: &Config, secrets: &[String], value: &mut Value) {
    match value {
        Value::String(text) => {
            for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), MASK);
                }
            }
            *text = config.hidden(text);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(config, secrets, item)),
        // which kind a part is is a word of the report's own
        Value::Object(members) => {
            members
                .iter_mut()
                .filter(|(name, _)| *name != KIND)
                .for_each(|(_, member)| redact(config, secrets, member));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
