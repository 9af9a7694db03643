//! The settings of the plugin `cors`.

use std::borrow::Cow;

use plugin_api::http::{HeaderName, Method};
use plugin_api::{HttpMethod, Period};
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
    pub methods: Vec<HttpMethod>,
    /// The headers that they may send; `*`: whichever they ask for.
    #[serde(default = "default_headers")]
    pub headers: Vec<HeaderNameOrAny>,
    /// The headers of answers that they may read, beside those that browsers always show.
    #[serde(default)]
    pub expose: Vec<HeaderNameOrAny>,
    /// Whether calls may carry cookies and what else the browser knows of its user. Needs `origins` by name.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers may remember the answer to a preflight, at most a day.
    #[serde(default = "default_max_age")]
    pub max_age: Period,
}

fn default_methods() -> Vec<HttpMethod> {
    [Method::GET, Method::HEAD, Method::POST].map(HttpMethod::from).to_vec()
}

fn default_headers() -> Vec<HeaderNameOrAny> {
    vec![HeaderNameOrAny::Any]
}

fn default_max_age() -> Period {
    Period::from_secs(600)
}

/// The name of a header, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum HeaderNameOrAny {
    /// Any.
    Any,
    /// This one.
    Header(HeaderName),
}

impl TryFrom<String> for HeaderNameOrAny {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == ANY {
            return Ok(Self::Any);
        }
        text.parse().map(Self::Header).map_err(|_| format!("`{text}` is not the name of a header, or `{ANY}`"))
    }
}

impl From<HeaderNameOrAny> for String {
    fn from(name: HeaderNameOrAny) -> Self {
        match name {
            HeaderNameOrAny::Any => ANY.to_owned(),
            HeaderNameOrAny::Header(name) => name.to_string(),
        }
    }
}

impl JsonSchema for HeaderNameOrAny {
    fn schema_name() -> Cow<'static, str> {
        "NamedHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "The name of a header, or `*`." })
    }
}
