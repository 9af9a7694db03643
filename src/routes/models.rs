//! The `models` of a route as the YAML writes them: which names an entry takes, and where their calls go.

use glob::Glob;
use located_yaml::Located;
use plugin_api::{AnswerModel, CallFacts, ModelRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the calls for some models go, and by which name the upstream is asked.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The names of models that it takes: `*` stands for any text, `?` for any one character, and letter case does not matter.
    #[serde(rename = "match")]
    pub pattern: Located<ModelPattern>,
    /// The model that the upstream is asked for in their place. Absent: the call's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// The upstream that their calls go to. Absent: the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Located<String>>,
    /// The model that answers name: `served`, the one that the upstream says, or `asked`, the one that the client asked for. For
    /// `asked`, the upstream is asked for unencoded answers.
    #[serde(default)]
    pub answer_model: AnswerModel,
}

impl ModelEntry {
    /// The rule that it is.
    #[must_use]
    pub fn rule(&self) -> ModelRule {
        ModelRule {
            pattern: self.pattern.0.clone(),
            model: self.model.as_ref().map(|model| model.0.as_str().into()),
            upstream: self.upstream.as_ref().map(|upstream| upstream.as_str().into()),
            answer_model: self.answer_model,
        }
    }

    /// The names and patterns in it.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        [self.pattern.0.as_str()].into_iter().chain(self.model.as_ref().map(|model| model.0.as_str()))
    }
}

/// A pattern for names of models; not empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ModelPattern(Glob);

impl ModelPattern {
    /// The pattern.
    #[must_use]
    pub fn glob(&self) -> &Glob {
        &self.0
    }
}

impl TryFrom<String> for ModelPattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match written.is_empty() {
            true => Err("an empty pattern takes no model; write a name, or `*` for all".to_owned()),
            false => Ok(Self(Glob::new(&written))),
        }
    }
}

impl From<ModelPattern> for String {
    fn from(pattern: ModelPattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

/// The name of one model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ModelName(String);

impl TryFrom<String> for ModelName {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        if written.is_empty() || written.contains('*') || written.len() > CallFacts::LONGEST_MODEL {
            return Err(format!(
                "`{written}` is not the name of one model; it must have 1 to {} bytes, and no `*`",
                CallFacts::LONGEST_MODEL
            ));
        }
        Ok(Self(written))
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Result<ModelEntry, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_takes_a_pattern_and_names_one_model() {
        let all = r#"{"match":"fast","model":"claude-haiku-4-5","upstream":"a","answer_model":"asked"}"#;
        let read = entry(all).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), all);
        assert_eq!(read.model_names().collect::<Vec<_>>(), ["fast", "claude-haiku-4-5"]);
        let rule = entry(r#"{"match":"gpt-*"}"#).unwrap().rule();
        assert_eq!((rule.model, rule.upstream, rule.answer_model), (None, None, AnswerModel::Served));
        for (json, wanted) in [
            (r#"{"match":""}"#, "takes no model"),
            (r#"{"match":"a","model":""}"#, "not the name of one model"),
            (r#"{"match":"a","model":"b-*"}"#, "not the name of one model"),
            (r#"{"model":"a"}"#, "missing field `match`"),
            (r#"{"match":"a","answer":"asked"}"#, "unknown field"),
        ] {
            assert!(entry(json).unwrap_err().contains(wanted), "{json}");
        }
    }
}
