//! The settings of the plugin `headers`.

use std::str::FromStr;

use indexmap::IndexMap;
use plugin_api::http::header::HOST;
use plugin_api::{ConfigProblem, Variable, VariableTemplate, one_or_many};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::FieldName;

/// Changes headers: first those to remove go, then those to set replace all of their name, then those to add join them. Values may hold
/// nginx's variables, such as `$remote_addr`; a value that comes to nothing is not sent, and `set` then removes the header.
///
/// Responses are changed wherever they come from: from an upstream, a plugin below this one, or the gateway.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Those of a request, on its way to the upstream and to each of its fallbacks. Credentials of an upstream belong in its own
    /// `headers`, which are set after these.
    pub request: Changes<RequestValue>,
    /// Those of a response, on its way to the client, whatever its status.
    pub response: Changes<VariableTemplate>,
    /// Those of a response that is no error: with the status 200, 201, 204, 206, 301 to 304, 307 or 308, as nginx's `add_header`
    /// without `always`. They are made together with those of `response`.
    pub success: Changes<VariableTemplate>,
}

/// Changes to headers, in one direction.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, bound(deserialize = "V: Deserialize<'de> + FromStr<Err = String>"))]
pub struct Changes<V> {
    /// Headers with the one value that they get.
    pub set: IndexMap<FieldName, V>,
    /// Headers with values that they get beside those that they have.
    pub add: IndexMap<FieldName, Values<V>>,
    /// Headers that are left out.
    pub remove: Vec<FieldName>,
}

impl<V> Default for Changes<V> {
    fn default() -> Self {
        Self { set: IndexMap::new(), add: IndexMap::new(), remove: Vec::new() }
    }
}

/// One value or several.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Values<V>(#[schemars(with = "OneOrMany<V>")] pub Vec<V>);

/// The forms of [`Values`] in the YAML.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "it is only a schema")]
enum OneOrMany<V> {
    One(V),
    Many(Vec<V>),
}

impl<'de, V: FromStr<Err = String>> Deserialize<'de> for Values<V> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        one_or_many(reader, "a value, or a list of values").map(Self)
    }
}

/// A value of a request's header, which is sent before there is any response.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "VariableTemplate")]
pub struct RequestValue(VariableTemplate);

impl FromStr for RequestValue {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let template: VariableTemplate = written.parse()?;
        if template.variables().any(Variable::is_of_response) {
            return Err("a variable of the response has no value yet when a request is sent".to_owned());
        }
        Ok(Self(template))
    }
}

impl TryFrom<String> for RequestValue {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        written.parse()
    }
}

impl From<RequestValue> for String {
    fn from(value: RequestValue) -> Self {
        value.0.into()
    }
}

impl AsRef<VariableTemplate> for RequestValue {
    fn as_ref(&self) -> &VariableTemplate {
        &self.0
    }
}

impl<V> Changes<V> {
    /// Whether no header is to be removed and set, and `Host`, which every request has once, stays so.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self, direction: &str) -> Result<(), ConfigProblem> {
        if self.remove.iter().chain(self.add.keys()).any(|name| name.get() == HOST) {
            return Err(format!(
                "`{direction}` adds or removes `Host`, of which a request has exactly one; `set` replaces it"
            )
            .into());
        }
        match self.remove.iter().find(|name| self.set.contains_key(*name)) {
            Some(name) => Err(format!(
                "`{direction}` sets `{0}` and removes it; `set` alone replaces all values there are",
                name.get()
            )
            .into()),
            None => Ok(()),
        }
    }
}
