//! The settings of an answer that a route gives itself.

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use indexmap::IndexMap;
use plugin_api::is_of_connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::RouteTemplate;

/// An answer that is made here.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "AnswerFields", into = "AnswerFields")]
#[schemars(with = "AnswerFields")]
pub struct AnswerSettings {
    /// Its status.
    pub status: StatusCode,
    /// Its body; none for an error object in the caller's dialect, or for no body where it is no error.
    pub body: Option<RouteTemplate>,
    /// The media type of its body.
    pub content_type: ContentType,
    /// Its further headers.
    pub headers: AnswerHeaders,
}

/// An answer as the YAML writes it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "AnswerSettings")]
struct AnswerFields {
    /// The status, from 200 to 599.
    status: AnswerStatus,
    /// The body; it may hold variables, such as `$host`. Absent: none, or for a status of 400 and more an error object in the
    /// caller's dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<RouteTemplate>,
    /// The media type of the body.
    content_type: ContentType,
    /// Further headers; their values may hold variables.
    headers: AnswerHeaders,
}

impl TryFrom<AnswerFields> for AnswerSettings {
    type Error = String;

    fn try_from(AnswerFields { status, body, content_type, headers }: AnswerFields) -> Result<Self, String> {
        let status = status.0;
        let has_body = body.as_ref().is_some_and(|body| body.as_text() != Some(""));
        if has_body && matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Err(format!("an answer with status {} has no body", status.as_u16()));
        }
        Ok(Self { status, body, content_type, headers })
    }
}

impl From<AnswerSettings> for AnswerFields {
    fn from(AnswerSettings { status, body, content_type, headers }: AnswerSettings) -> Self {
        Self { status: AnswerStatus(status), body, content_type, headers }
    }
}

/// The status of an answer that is made here.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16")]
struct AnswerStatus(StatusCode);

impl Default for AnswerStatus {
    fn default() -> Self {
        Self(StatusCode::OK)
    }
}

impl TryFrom<u16> for AnswerStatus {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        match StatusCode::from_u16(status) {
            Ok(known) if (200..600).contains(&status) => Ok(Self(known)),
            _ => Err(format!("`{status}` is no status of an answer; it must be 200 to 599")),
        }
    }
}

impl From<AnswerStatus> for u16 {
    fn from(status: AnswerStatus) -> Self {
        status.0.as_u16()
    }
}

/// The media type of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ContentType(HeaderValue);

impl ContentType {
    /// As the value of the header.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl Default for ContentType {
    fn default() -> Self {
        Self(HeaderValue::from_static("text/plain"))
    }
}

impl TryFrom<String> for ContentType {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match HeaderValue::try_from(&written) {
            Ok(value) if written.contains('/') => Ok(Self(value)),
            _ => Err(format!("`{written}` is not a media type; write `text/plain`, `application/json`, …")),
        }
    }
}

impl From<ContentType> for String {
    fn from(content_type: ContentType) -> Self {
        content_type.0.to_str().unwrap_or_default().to_owned()
    }
}

/// The headers of an answer, each with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "IndexMap<String, RouteTemplate>", into = "IndexMap<String, RouteTemplate>")]
#[schemars(with = "IndexMap<String, String>")]
pub struct AnswerHeaders(Vec<(HeaderName, RouteTemplate)>);

impl AnswerHeaders {
    /// Each with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &RouteTemplate)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl TryFrom<IndexMap<String, RouteTemplate>> for AnswerHeaders {
    type Error = String;

    fn try_from(written: IndexMap<String, RouteTemplate>) -> Result<Self, String> {
        let mut headers: Vec<(HeaderName, RouteTemplate)> = Vec::with_capacity(written.len());
        for (written, value) in written {
            let name =
                HeaderName::try_from(&written).map_err(|_| format!("`{written}` is not the name of a header"))?;
            if name == CONTENT_TYPE {
                return Err(
                    "`content-type` is a setting of the answer itself; write `content_type:` beside `headers:`".into(),
                );
            }
            if is_of_connection(name.as_str()) {
                return Err(format!("`{written}` belongs to the connection; the gateway sets it"));
            }
            if headers.iter().any(|(known, _)| *known == name) {
                return Err(format!("`{written}` is there twice; letter case does not matter"));
            }
            if value.as_text().is_some_and(|text| HeaderValue::from_str(text).is_err()) {
                return Err(format!(
                    "the value of `{written}` holds a character that no header may have, such as a line end"
                ));
            }
            headers.push((name, value));
        }
        Ok(Self(headers))
    }
}

impl From<AnswerHeaders> for IndexMap<String, RouteTemplate> {
    fn from(headers: AnswerHeaders) -> Self {
        headers.0.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Result<AnswerSettings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_has_a_status_and_perhaps_a_body() {
        let read = answer(r#"{"body":"ok $host\n"}"#).unwrap();
        assert_eq!((read.status, String::from(read.content_type)), (StatusCode::OK, "text/plain".to_owned()));
        assert!(answer(r#"{"status":204}"#).unwrap().body.is_none());
        for (json, wanted) in [
            (r#"{"status":100}"#, "200 to 599"),
            (r#"{"status":204,"body":"x"}"#, "has no body"),
            (r#"{"content_type":"json"}"#, "not a media type"),
            (r#"{"headers":{"Content-Type":"a/b"}}"#, "write `content_type:`"),
            (r#"{"headers":{"content-length":"1"}}"#, "belongs to the connection"),
            (r#"{"headers":{"Keep-Alive":"timeout=5"}}"#, "belongs to the connection"),
            (r#"{"headers":{"trailer":"x"}}"#, "belongs to the connection"),
            (r#"{"headers":{"x-a":"1","X-A":"2"}}"#, "is there twice"),
            (r#"{"headers":{"x-a":"1\n2"}}"#, "such as a line end"),
            (r#"{"headers":{"a b":"1"}}"#, "not the name of a header"),
            (r#"{"bdy":"x"}"#, "unknown field"),
        ] {
            assert!(answer(json).unwrap_err().contains(wanted), "{json}: {}", answer(json).unwrap_err());
        }
    }
}
