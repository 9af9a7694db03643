//! A URL to which the gateway itself sends something. It may hold a secret, and so is shown as its host alone.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A URL that may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Uri);

impl SecretUrl {
    /// Its host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// The whole, to send to.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for SecretUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let url: Uri = text.parse().map_err(|_| "this is not a URL")?;
        match (url.scheme_str(), url.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Err("a URL with a user in it cannot be used; put a secret into its path or query")
            }
            (Some("http" | "https"), Some(_)) => Ok(Self(url)),
            _ => Err("wanted a URL like `https://hooks.example.com/path`"),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({}/…)", self.host())
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        String::deserialize(reader)?.parse().map_err(de::Error::custom)
    }
}

/// As it was read.
impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for SecretUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^https?://" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_errors_nor_debug_output_have_the_secret() {
        let url: SecretUrl = "http://127.0.0.1:1/secret".parse().unwrap();
        assert_eq!(format!("{url:?}"), "SecretUrl(127.0.0.1/…)");
        for wrong in ["", "secret", "ftp://a/secret", "/secret", "https://user:secret@a/"] {
            let error = wrong.parse::<SecretUrl>().unwrap_err();
            assert!(!error.contains("secret@") && !error.is_empty(), "{error}");
        }
    }
}
