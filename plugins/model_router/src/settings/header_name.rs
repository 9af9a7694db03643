//! The name of a header, as a key of the YAML.

use plugin_api::http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a header, in small letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HeaderKey(Box<str>);

impl HeaderKey {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HeaderKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.parse::<HeaderName>().map_err(|_| format!("`{text}` is no name of a header"))?;
        Ok(Self(name.as_str().into()))
    }
}

impl From<HeaderKey> for String {
    fn from(name: HeaderKey) -> Self {
        name.0.into()
    }
}
