//! Text with variables in it, as a setting.

use std::borrow::Cow;
use std::str::FromStr;

use http::HeaderValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use template::{Piece, Template, TemplateError};

use super::{Variable, Variables};

/// Text with nginx's variables in it, such as `https://$host$request_uri`. A dollar itself is written `$$`.
///
/// ```
/// # use plugin_api::VariableTemplate;
/// assert!(VariableTemplate::try_from("https://$host$request_uri".to_owned()).is_ok());
/// let error = VariableTemplate::try_from("$hots".to_owned()).unwrap_err();
/// assert!(error.contains("did you mean `$host`?"), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct VariableTemplate {
    written: Box<str>,
    template: Template<Variable>,
}

impl VariableTemplate {
    /// As the YAML writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The text that it always stands for, where it has no variable.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.template.as_text()
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.template.pieces().iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(variable) => Some(variable),
        })
    }

    /// Appends what it stands for.
    pub fn expand(&self, out: &mut Vec<u8>, of: &Variables<'_>) {
        self.template.expand(out, |variable, out| variable.append(out, of));
    }

    /// What it stands for as the value of a header, without the control characters that none may have; `None` if that is nothing.
    #[must_use]
    pub fn header_value(&self, of: &Variables<'_>) -> Option<HeaderValue> {
        let mut value = Vec::new();
        self.expand(&mut value, of);
        header_value(value)
    }
}

/// The value of a header with this text, without the control characters that none may have; `None` if nothing is left.
#[must_use]
pub fn header_value(mut text: Vec<u8>) -> Option<HeaderValue> {
    text.retain(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f);
    let text = text.trim_ascii();
    if text.is_empty() { None } else { HeaderValue::from_bytes(text).ok() }
}

impl FromStr for VariableTemplate {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let template = Template::parse(written, Variable::named).map_err(|error| match &error {
            TemplateError::Unknown { name } => match located_yaml::nearest(name, Variable::NAMES) {
                Some(near) => format!("{error}; did you mean `${near}`?"),
                None => error.to_string(),
            },
            TemplateError::NoName { .. } => error.to_string(),
        })?;
        Ok(Self { written: written.into(), template })
    }
}

impl TryFrom<String> for VariableTemplate {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        written.parse()
    }
}

impl AsRef<Self> for VariableTemplate {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl From<VariableTemplate> for String {
    fn from(template: VariableTemplate) -> Self {
        template.written.into()
    }
}

impl JsonSchema for VariableTemplate {
    fn schema_name() -> Cow<'static, str> {
        "VariableTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text with nginx's variables in it, such as `https://$host$request_uri`. A dollar itself is written `$$`.",
        })
    }
}
