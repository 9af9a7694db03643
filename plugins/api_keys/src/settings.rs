//! What the YAML says of keys, and of callers without one.

use std::borrow::Cow;
use std::path::PathBuf;

use plugin_api::http::HeaderName;
use plugin_api::{Count, Quota, is_credential};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::digest::Digests;
use crate::expiry::Expiry;
use crate::jwt::JwtConfig;

/// Who calls: requests need a key that is named here or in a file, and may do what the key may.
///
/// A key comes as `x-api-key` or as `authorization: Bearer`; if both are there and differ, the request is refused. It does
/// not travel on to the upstream.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeySettings>,
    /// A YAML file with a list of further keys. It is read again when it changes; one that is broken or gone leaves the
    /// keys in force that were read last. Relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The most keys that `file` may name. Bounds its memory, with 1 KiB for each.
    #[serde(default = "default_max_keys")]
    pub max_keys: Count<1, 4_000_000>,
    /// Tokens of an identity provider (JWT) that are taken in the place of keys. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
    /// The one header that has the key, in the place of `x-api-key` and `authorization`, which then pass on to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<KeyHeader>,
    /// What becomes of requests without a key. One with a key that is not known is always refused.
    #[serde(default)]
    pub anonymous: Anonymous,
}

fn default_max_keys() -> Count<1, 4_000_000> {
    Count::clamped(10_000)
}

/// A key and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// What rows, logs and limits call its holder; no other key has the same name.
    pub name: Label,
    /// The SHA-256 of the key, or of two keys while a new one takes the place of an old one.
    pub sha256: Digests,
    /// The tenant that its calls count for: a team, a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Label>,
    /// Patterns of the models that it may ask for; `*` is any text, `?` any one character. Absent: any model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Labels>,
    /// The names of the routes that it may use. Absent: all that have this plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Labels>,
    /// From when on it is refused: a date, which begins in UTC, or a moment. Absent: it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
    /// How much it may have, for plugins that limit callers.
    #[serde(default, skip_serializing_if = "Quota::is_unlimited")]
    pub limits: Quota,
}

/// What becomes of requests without a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// They are refused with status 401.
    #[default]
    Refuse,
    /// They pass, from nobody in particular.
    Pass,
}

/// A name or a pattern: 1 to 128 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// The longest label, in bytes.
const LONGEST: usize = 128;

impl Label {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.trim() {
            "" => Err("the name is empty".to_owned()),
            _ if text.len() > LONGEST => {
                Err(format!("the name is {} bytes long, wanted at most {LONGEST}", text.len()))
            }
            _ if text.contains(char::is_control) => Err("the name has control characters".to_owned()),
            trimmed => Ok(Self(trimmed.to_owned())),
        }
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl JsonSchema for Label {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": LONGEST })
    }
}

/// Labels, at least one: an empty list could be read as "all" and as "none".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<Label>", into = "Vec<Label>")]
pub struct Labels(Vec<Label>);

impl Labels {
    /// Their texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Label::as_str)
    }
}

impl TryFrom<Vec<Label>> for Labels {
    type Error = String;

    fn try_from(labels: Vec<Label>) -> Result<Self, String> {
        if labels.is_empty() {
            return Err("the list is empty; name at least one, or leave the setting out to allow all".to_owned());
        }
        Ok(Self(labels))
    }
}

impl From<Labels> for Vec<Label> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl JsonSchema for Labels {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": Label::json_schema(generator), "minItems": 1 })
    }
}

/// A header for keys. Its name says that it has one, so that caches, logs and stored bodies take its value for a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHeader(HeaderName);

impl KeyHeader {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<String> for KeyHeader {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name: HeaderName = text.parse().map_err(|_| format!("`{text}` is not the name of a header"))?;
        if !is_credential(name.as_str()) {
            return Err(format!(
                "`{text}` does not say that it has a secret; take a name that ends in `key` or `token`, or has `auth` in it"
            ));
        }
        Ok(Self(name))
    }
}

impl From<KeyHeader> for String {
    fn from(header: KeyHeader) -> Self {
        header.0.as_str().to_owned()
    }
}

impl JsonSchema for KeyHeader {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KeyHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["x-tollgate-key"] })
    }
}
