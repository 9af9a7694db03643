//! The format of a line: `json`, or a text with variables, such as nginx's `combined`. Parsed when the configuration is read.

use std::borrow::Cow;

use plugin_api::is_credential;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use template::{Piece, Template, TemplateError};

use super::variable::LogVariable;

/// nginx's own.
const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// How a request is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum AccessLogFormat {
    /// A JSON object per line.
    #[default]
    Json,
    /// Text with variables.
    Text(TextFormat),
}

/// Text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFormat {
    /// As the YAML writes it.
    written: Box<str>,
    template: Template<LogVariable>,
}

impl TextFormat {
    /// The parts of a line.
    pub(super) fn pieces(&self) -> &[Piece<LogVariable>] {
        self.template.pieces()
    }

    /// Its variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = &LogVariable> {
        self.pieces().iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(variable) => Some(variable),
        })
    }

    fn parse(written: &str, text: &str) -> Result<Self, String> {
        let mut secret = None;
        let template = Template::parse(text, |name| {
            if is_secret(name) {
                secret.get_or_insert_with(|| name.to_owned());
            }
            LogVariable::named(name)
        });
        if let Some(name) = secret {
            return Err(format!("`${name}` may hold a secret, such as a key or a cookie; secrets are not logged"));
        }
        let template = template.map_err(|error| match &error {
            TemplateError::Unknown { name } => match located_yaml::nearest(name, &LogVariable::names()) {
                Some(near) => format!("{error}; did you mean `${near}`?"),
                None => error.to_string(),
            },
            TemplateError::NoName { .. } => error.to_string(),
        })?;
        Ok(Self { written: written.into(), template })
    }
}

/// Whether a variable may hold a credential, by its name: that of a header or a parameter of a query, or any cookie.
fn is_secret(name: &str) -> bool {
    let part = ["http_", "sent_http_", "upstream_http_", "arg_"].iter().find_map(|before| name.strip_prefix(before));
    let part = part.map(|part| part.replace('_', "-").to_ascii_lowercase());
    name.starts_with("cookie_") || part.is_some_and(|part| is_credential(&part) || part.contains("password"))
}

impl TryFrom<String> for AccessLogFormat {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match written.as_str() {
            "json" => Ok(Self::Json),
            "combined" => TextFormat::parse(&written, COMBINED).map(Self::Text),
            text if text.contains('$') => TextFormat::parse(&written, text).map(Self::Text),
            other => Err(format!(
                "`{other}` is no format; write `json`, `combined`, or a text with variables such as `$remote_addr`"
            )),
        }
    }
}

impl From<AccessLogFormat> for String {
    fn from(format: AccessLogFormat) -> Self {
        match format {
            AccessLogFormat::Json => "json".into(),
            AccessLogFormat::Text(text) => text.written.into(),
        }
    }
}

impl JsonSchema for AccessLogFormat {
    fn schema_name() -> Cow<'static, str> {
        "AccessLogFormat".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "How a request is written: `json`; `combined`, as nginx does; or a text with variables, such as `$remote_addr \"$request\" $status $model`. A dollar itself is written `$$`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        AccessLogFormat::try_from(text.to_owned()).unwrap_err()
    }

    #[test]
    fn a_format_is_a_word_or_a_text_with_variables_and_is_written_as_it_was_read() {
        for text in ["json", "combined", "$remote_addr $model $$5 $http_x_y $sent_http_content_type $arg_page"] {
            assert_eq!(String::from(AccessLogFormat::try_from(text.to_owned()).unwrap()), text);
        }
        assert!(error("common").contains("write `json`, `combined`, or a text with variables"), "{}", error("common"));
        assert!(error("$remote_adr").contains("did you mean `$remote_addr`?"), "{}", error("$remote_adr"));
        assert!(error("$input_token").contains("did you mean `$input_tokens`?"), "{}", error("$input_token"));
        assert!(error("a $ b").contains("no name follows"), "{}", error("a $ b"));
    }

    #[test]
    fn what_may_be_a_secret_cannot_be_logged() {
        for name in [
            "http_authorization",
            "http_x_api_key",
            "http_api_key",
            "http_x_goog_api_key",
            "http_proxy_authorization",
            "http_cookie",
            "cookie_session",
            "sent_http_set_cookie",
            "upstream_http_set_cookie",
            "arg_key",
            "arg_access_token",
            "http_x_password",
        ] {
            assert!(error(&format!("$status ${name}")).contains("secrets are not logged"), "{name}");
        }
        assert!(AccessLogFormat::try_from("$http_user_agent $http_idempotency_key $key_name".to_owned()).is_ok());
    }
}
