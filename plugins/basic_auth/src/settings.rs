//! The settings of the plugin `basic_auth`.

use std::borrow::Cow;
use std::path::PathBuf;

use plugin_api::http::HeaderValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Knows callers by the names and passwords in a file of `htpasswd`, and refuses all others with 401. The name is that of the caller in
/// limits, the ledger and `$remote_user`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file, with `NAME:HASH` on each line: bcrypt (`htpasswd -B`), apr1, SHA-crypt (`$5$`, `$6$`), `{SHA}` or `{SSHA}`. Read again when
    /// it changes; a broken one keeps the users there were. Relative paths are relative to the YAML file.
    pub file: PathBuf,
    /// What browsers show beside the question for the password.
    #[serde(default)]
    pub realm: Realm,
    /// Whether the name and the password go on to the upstream.
    #[serde(default)]
    pub forward_credentials: bool,
}

/// The name of what is protected: printable ASCII without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Realm(String);

impl Realm {
    /// The challenge of this realm. The passwords are UTF-8, as browsers send them then.
    pub(crate) fn challenge(&self) -> HeaderValue {
        let text = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.0);
        // all of it is printable ASCII
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Basic"))
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self("tollgate".to_owned())
    }
}

impl TryFrom<String> for Realm {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\');
        match !text.is_empty() && text.bytes().all(is_plain) {
            true => Ok(Self(text)),
            false => Err("a realm is printable ASCII without quotes and backslashes, and not empty".to_owned()),
        }
    }
}

impl From<Realm> for String {
    fn from(realm: Realm) -> Self {
        realm.0
    }
}

impl JsonSchema for Realm {
    fn schema_name() -> Cow<'static, str> {
        "Realm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Printable ASCII without quotes." })
    }
}
