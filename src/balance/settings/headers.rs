//! The headers that the servers of an upstream get in place of the client's: above all their credentials.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use plugin_api::{is_credential, is_of_connection};
use schemars::JsonSchema;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The word that removes a header.
const OFF: &str = "off";
/// A value that is shorter is no secret worth hiding: it would hide words; in bytes.
const MIN_SECRET: usize = 8;

/// Changes to the headers of every request and health check on its way to the servers of one upstream. Values are secrets: no
/// text shows them.
#[derive(Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(with = "BTreeMap<String, String>")]
pub struct UpstreamHeaders(Vec<(HeaderName, Option<HeaderValue>)>);

impl UpstreamHeaders {
    /// Each header with its value; `None` removes it.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, Option<&HeaderValue>)> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// Whether one of them is a credential.
    #[must_use]
    pub fn has_credential(&self) -> bool {
        self.0.iter().any(|(name, value)| value.is_some() && is_credential(name.as_str()))
    }

    /// What must not show anywhere: each value, without a scheme such as `Bearer` in front.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter_map(|(_, value)| value.as_ref()?.to_str().ok());
        values.filter_map(|value| value.rsplit(' ').next()).filter(|secret| secret.len() >= MIN_SECRET)
    }

    /// Adds a header, as the YAML writes it.
    ///
    /// # Errors
    /// What is wrong with its name or its value. The value is not part of it.
    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let parsed = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not the name of a header"))?;
        if parsed == http::header::HOST {
            return Err("`host` is a setting of the upstream itself; write `host:` beside `headers:`".into());
        }
        if is_of_connection(parsed.as_str()) {
            return Err(format!("`{name}` belongs to the connection; the gateway sets it"));
        }
        if self.0.iter().any(|(known, _)| *known == parsed) {
            return Err(format!("`{name}` is there twice; letter case does not matter"));
        }
        let value = match value {
            OFF => None,
            "" => return Err(format!("the value of `{name}` is empty; write `off` to remove the header")),
            value => {
                let mut value = HeaderValue::from_str(value).map_err(|_| {
                    format!("the value of `{name}` holds a character that no header may have, such as a line end")
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        self.0.push((parsed, value));
        Ok(())
    }
}

impl fmt::Debug for UpstreamHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, shown(value.as_ref())))).finish()
    }
}

impl Serialize for UpstreamHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name.as_str(), shown(value.as_ref()))?;
        }
        map.end()
    }
}

fn shown(value: Option<&HeaderValue>) -> &'static str {
    if value.is_some() { "***" } else { OFF }
}

impl<'de> Deserialize<'de> for UpstreamHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = UpstreamHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of headers to their values, or to `off`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UpstreamHeaders, A::Error> {
        let mut headers = UpstreamHeaders::default();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            headers.add(&name, &value).map_err(A::Error::custom)?;
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(json: serde_json::Value) -> Result<UpstreamHeaders, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_header_has_a_value_or_is_removed() {
        let headers = headers(serde_json::json!({ "X-Api-Key": "sk-secret-value", "authorization": "off" })).unwrap();
        let all: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.map(HeaderValue::as_bytes))).collect();
        assert_eq!(all, [("x-api-key", Some(&b"sk-secret-value"[..])), ("authorization", None)]);
    }

    #[test]
    fn what_no_request_may_have_is_an_error_that_does_not_show_the_value() {
        for (name, value, wanted) in [
            ("x y", "secret", "`x y` is not the name of a header"),
            ("Host", "secret", "write `host:` beside `headers:`"),
            ("Content-Length", "secret", "belongs to the connection"),
            ("x-key", "", "write `off` to remove the header"),
            ("x-key", "secret\nx-other: 1", "holds a character that no header may have"),
        ] {
            let error = headers(serde_json::json!({ name: value })).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("secret"), "{error}");
        }
        let twice = headers(serde_json::json!({ "X-A": "1", "x-a": "2" })).unwrap_err();
        assert!(twice.contains("`x-a` is there twice"), "{twice}");
    }

    #[test]
    fn no_text_of_them_shows_a_value_and_the_secrets_are_known() {
        let json = serde_json::json!({ "authorization": "Bearer sk-1234567890", "x-beta": "on", "x-debug": "off" });
        let headers = headers(json).unwrap();
        for text in [format!("{headers:?}"), serde_json::to_string(&headers).unwrap()] {
            assert!(text.contains("x-debug") && !text.contains("sk-1234567890"), "{text}");
        }
        assert_eq!(headers.secrets().collect::<Vec<_>>(), ["sk-1234567890"]);
    }
}
