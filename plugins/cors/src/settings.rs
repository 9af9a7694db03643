//! The settings of the plugin `cors`.

use std::borrow::Cow;

use plugin_api::Period;
use plugin_api::http::{HeaderName, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::OriginPattern;

const ANY: &str = "*";

/// Tells browsers which pages may call here (CORS). Preflights are answered by the gateway and ask no upstream; put it above `api_keys`,
/// because they carry no key. What upstreams say of it themselves is replaced.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The origins whose pages may call: `https://app.example.com`, `https://*.example.com` for all names below, or `*` for any page.
    pub origins: Vec<OriginPattern>,
    /// The methods that they may use; `GET`, `HEAD` and `POST` are always allowed by browsers where the rest is.
    #[serde(default = "default_methods")]
    pub methods: Vec<MethodName>,
    /// The headers that they may send; `*`: whichever they ask for.
    #[serde(default = "default_headers")]
    pub headers: Vec<Named>,
    /// The headers of answers that they may read, beside those that browsers always show.
    #[serde(default)]
    pub expose: Vec<Named>,
    /// Whether calls may carry cookies and what else the browser knows of its user. Needs `origins` by name.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers may remember the answer to a preflight, at most a day.
    #[serde(default = "default_max_age")]
    pub max_age: Period,
}

fn default_methods() -> Vec<MethodName> {
    [Method::GET, Method::HEAD, Method::POST].map(MethodName).to_vec()
}

fn default_headers() -> Vec<Named> {
    vec![Named::Any]
}

fn default_max_age() -> Period {
    Period::from_secs(600)
}

/// A method.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct MethodName(pub Method);

impl TryFrom<String> for MethodName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_upper = text.bytes().all(|byte| !byte.is_ascii_lowercase());
        let method = text.parse().ok().filter(|_| is_upper && !text.is_empty());
        method.map(Self).ok_or_else(|| format!("`{text}` is no method; write it like `POST`"))
    }
}

impl From<MethodName> for String {
    fn from(name: MethodName) -> Self {
        name.0.to_string()
    }
}

impl JsonSchema for MethodName {
    fn schema_name() -> Cow<'static, str> {
        "MethodName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A method such as `POST`." })
    }
}

/// The name of a header, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Named {
    /// Any.
    Any,
    /// This one.
    Header(HeaderName),
}

impl TryFrom<String> for Named {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == ANY {
            return Ok(Self::Any);
        }
        text.parse().map(Self::Header).map_err(|_| format!("`{text}` is not the name of a header, or `{ANY}`"))
    }
}

impl From<Named> for String {
    fn from(name: Named) -> Self {
        match name {
            Named::Any => ANY.to_owned(),
            Named::Header(name) => name.to_string(),
        }
    }
}

impl JsonSchema for Named {
    fn schema_name() -> Cow<'static, str> {
        "NamedHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "The name of a header, or `*`." })
    }
}
