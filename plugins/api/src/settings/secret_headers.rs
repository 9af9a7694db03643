//! Headers of requests that the gateway itself sends. Their values may be secrets, and so are never shown.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What describes the message on its way, which the client that sends it writes.
const CLIENT_HEADERS: [&str; 5] = ["connection", "content-length", "expect", "host", "transfer-encoding"];

/// Headers by their names; each value is marked as sensitive.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretHeaders(HeaderMap);

impl SecretHeaders {
    /// All of them.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names alone.
impl fmt::Debug for SecretHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for SecretHeaders {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = SecretHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of headers like `{ authorization: \"Bearer …\" }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretHeaders, A::Error> {
        let mut headers = HeaderMap::new();
        while let Some(Name(name)) = map.next_key()? {
            let Value(value) = map.next_value()?;
            headers.insert(name, value);
        }
        Ok(SecretHeaders(headers))
    }
}

struct Name(HeaderName);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        let name: HeaderName =
            text.parse().map_err(|_| de::Error::custom(format!("`{text}` is no name of a header")))?;
        if CLIENT_HEADERS.contains(&name.as_str()) {
            return Err(de::Error::custom(format!("`{name}` is written by the gateway itself")));
        }
        Ok(Self(name))
    }
}

struct Value(HeaderValue);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        // the text may be a secret, so no error repeats it
        let value = HeaderValue::from_str(&text);
        let mut value = value.map_err(|_| de::Error::custom("this cannot be the value of a header"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// As they were read.
impl Serialize for SecretHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str(), text(value))))
    }
}

impl JsonSchema for SecretHeaders {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretHeaders".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sent_and_neither_errors_nor_debug_output_have_them() {
        let read = |json: &str| serde_json::from_str::<SecretHeaders>(json);
        let headers = read(r#"{"Authorization":"Bearer s3cret","x-a":"b"}"#).unwrap();
        assert_eq!(headers.headers()["authorization"], "Bearer s3cret");
        assert!(headers.headers()["authorization"].is_sensitive());
        assert_eq!(format!("{headers:?}"), r#"{"authorization", "x-a"}"#);
        assert_eq!(read(&serde_json::to_string(&headers).unwrap()).unwrap(), headers);
        for (wrong, why) in [
            (r#"{"a b":"s3cret"}"#, "no name of a header"),
            (r#"{"x-a":"s3cret\n"}"#, "cannot be the value"),
            (r#"{"Host":"s3cret"}"#, "`host` is written by the gateway"),
            (r#""s3cret""#, "a map of headers"),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
            assert!(!error.contains("s3cret") || wrong.starts_with('"'), "{error}");
        }
    }
}
