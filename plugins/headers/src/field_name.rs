//! The name of a header that may be changed.

use std::borrow::Cow;

use plugin_api::http::HeaderName;
use plugin_api::is_of_connection;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The name of a header that may be changed: any but those that say where a message ends, or that belong to one connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(HeaderName);

impl FieldName {
    /// The name.
    #[must_use]
    pub fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<String> for FieldName {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let name = HeaderName::try_from(&written).map_err(|_| format!("`{written}` is not the name of a header"))?;
        if is_of_connection(name.as_str()) {
            return Err(format!(
                "`{written}` belongs to the connection or says where the message ends; the gateway sets it"
            ));
        }
        Ok(Self(name))
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.0.as_str().to_owned()
    }
}

impl JsonSchema for FieldName {
    fn schema_name() -> Cow<'static, str> {
        "FieldName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "The name of a header." })
    }
}
