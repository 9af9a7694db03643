//! Takes out of a report what must not be shown: the secrets of the file, and the credentials of the request.

use serde_json::Value;

use crate::config::Config;

/// What is shown in the place of a secret.
pub(super) const MASK: &str = "***";
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
        Value::Object(members) => members.values_mut().for_each(|member| redact(config, secrets, member)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
