//! The `models` of a route at work: the upstream that a call goes to, and the edits that give it its name there. Sends nothing.

use std::fmt;
use std::sync::Arc;

use plugin_api::{AmbiguousModel, AnswerModel, CallFacts, Edit, ModelCall, ModelRule, RouteModels, shortened};

use super::upstream::Upstream;

/// The longest name of a model in a message, in bytes.
const LONGEST_NAME: usize = 100;

/// The `models` of a route, with the upstreams that they name.
pub struct ModelRoutes {
    models: RouteModels,
    /// The upstreams that rules name, each once.
    upstreams: Vec<Arc<Upstream>>,
}

/// Where a call goes.
pub struct ModelTarget {
    /// The upstream, where it is not the route's own.
    pub upstream: Option<Arc<Upstream>>,
    /// The name that the upstream is asked for, where it is another than the client's.
    pub model: Option<Arc<str>>,
    /// The edits that give the call, or the calls of a batch, their names upstream.
    pub edits: Vec<Edit>,
    /// The name that the answer gets back.
    pub asked: Option<String>,
}

/// Why it is not certain where a call goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Misrouted {
    /// It names several models, and different rules take them.
    Ambiguous,
    /// A call of a batch is for another upstream than the route's own. Its results could not be found again there, since the requests
    /// for them name no model.
    Batch(String),
}

impl ModelRoutes {
    /// These rules. `upstreams` has every upstream that they name.
    #[must_use]
    pub fn new(models: RouteModels, upstreams: Vec<Arc<Upstream>>) -> Self {
        Self { models, upstreams }
    }

    /// The rules.
    #[must_use]
    pub fn models(&self) -> &RouteModels {
        &self.models
    }

    /// The upstreams that rules name.
    #[must_use]
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Where a call goes that all plugins have seen, on a route with this upstream of its own. What is not read for certain as a call
    /// goes there too, as it came.
    ///
    /// # Errors
    /// That it is not certain.
    pub fn target(&self, own: &Upstream, call: &ModelCall) -> Result<ModelTarget, Misrouted> {
        let mut target = ModelTarget { upstream: None, model: None, edits: Vec::new(), asked: None };
        for facts in call.calls() {
            let rule = self.models.rule_of(facts).map_err(|AmbiguousModel| Misrouted::Ambiguous)?;
            let Some(rule) = rule else { continue };
            let upstream = self.upstream_of(rule).filter(|upstream| upstream.index != own.index);
            let asked = facts.model.as_deref().unwrap_or_default();
            if call.endpoint().is_batch() && upstream.is_some() {
                return Err(Misrouted::Batch(shortened(asked, LONGEST_NAME).into_owned()));
            }
            target.upstream = upstream.cloned();
            if let Some(model) = rule.model.as_ref().filter(|model| !is_named(facts, model)) {
                target.edits.extend(Edit::rename_model(facts, model));
                target.model = Some(model.clone());
            }
            target.asked = (rule.answer_model == AnswerModel::Asked).then(|| asked.to_owned());
        }
        if call.endpoint().is_batch() {
            (target.model, target.asked) = (None, None);
        }
        Ok(target)
    }

    fn upstream_of(&self, rule: &ModelRule) -> Option<&Arc<Upstream>> {
        let name = rule.upstream.as_ref()?;
        self.upstreams.iter().find(|upstream| upstream.name == *name)
    }
}

/// Whether every server reads this name in the call already.
fn is_named(call: &CallFacts, model: &str) -> bool {
    std::iter::once(&call.model).chain(&call.other_models).all(|name| name.as_deref() == Some(model))
}

impl fmt::Display for Misrouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ambiguous => AmbiguousModel.fmt(f),
            Self::Batch(model) => {
                write!(
                    f,
                    "The model `{model}` is not served where this gateway sends batches; send its calls one by one"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use plugin_api::{Endpoint, Hashing};
    use serde_json::json;

    use super::*;
    use crate::balance::UpstreamRegistry;
    use crate::dialect;
    use crate::dns::Resolver;
    use crate::routes::RouteSettings;

    fn upstream(name: &str, index: usize) -> Arc<Upstream> {
        let settings = serde_json::from_value(json!({ "servers": [{ "address": "127.0.0.1:1" }] })).unwrap();
        let (registry, resolver) = (UpstreamRegistry::default(), Resolver::default());
        Arc::new(Upstream::new(name, index, &settings, &registry, &resolver, None))
    }

    fn routes() -> ModelRoutes {
        let route: RouteSettings = serde_json::from_value(json!({ "upstream": "own", "models": [
            { "match": "fast", "model": "claude-haiku-4-5", "answer_model": "asked" },
            { "match": "gpt-*", "upstream": "openai" },
            { "match": "mini", "model": "gpt-5-mini", "upstream": "openai" },
            { "match": "here", "upstream": "own" },
        ] }))
        .unwrap();
        let rules = route.models().iter().map(|entry| entry.rule()).collect();
        ModelRoutes::new(RouteModels::new(rules), vec![upstream("openai", 1), upstream("own", 0)])
    }

    /// The upstream, the body sent, the name put back.
    fn sent(endpoint: Endpoint, body: &str) -> Result<(String, String, Option<String>), Misrouted> {
        let own = upstream("own", 0);
        let mut call = dialect::read(endpoint, &HeaderMap::new(), body.to_owned().into(), 1000, Hashing::Nothing);
        let target = routes().target(&own, &call)?;
        call.edit(target.edits);
        let name = target.upstream.map_or("own".to_owned(), |upstream| upstream.name.to_string());
        Ok((name, String::from_utf8(call.into_body().to_vec()).unwrap(), target.asked))
    }

    #[test]
    fn a_rule_renames_the_model_and_no_other_byte_and_chooses_the_upstream() {
        for (body, upstream, wanted, asked) in [
            (r#"{"model" : "fast", "a":1e400}"#, "own", r#"{"model" : "claude-haiku-4-5", "a":1e400}"#, Some("fast")),
            (r#"{"model":"FAST"}"#, "own", r#"{"model":"claude-haiku-4-5"}"#, Some("FAST")),
            (r#"{"model":"gpt-5"}"#, "openai", r#"{"model":"gpt-5"}"#, None),
            (r#"{"model":"mini"}"#, "openai", r#"{"model":"gpt-5-mini"}"#, None),
            (r#"{"model":"here"}"#, "own", r#"{"model":"here"}"#, None),
            (r#"{"model":"claude-opus-5"}"#, "own", r#"{"model":"claude-opus-5"}"#, None),
            (
                r#"{"MODEL":"Fast","model":"fast"}"#,
                "own",
                r#"{"MODEL":"claude-haiku-4-5","model":"claude-haiku-4-5"}"#,
                Some("fast"),
            ),
            (r#"{"messages":[]}"#, "own", r#"{"messages":[]}"#, None),
            (r#"{"model":7}"#, "own", r#"{"model":7}"#, None),
            ("{'model':'gpt-5'}", "own", "{'model':'gpt-5'}", None),
            ("", "own", "", None),
        ] {
            let (to, text, back) = sent(Endpoint::MESSAGES, body).unwrap();
            assert_eq!((&*to, &*text, back.as_deref()), (upstream, wanted, asked), "{body}");
        }
        let two = r#"{"model":"fast","model":"gpt-5"}"#;
        assert_eq!(sent(Endpoint::MESSAGES, two).unwrap_err(), Misrouted::Ambiguous);
    }

    #[test]
    fn the_calls_of_a_batch_are_renamed_each_and_stay_together() {
        let batch = |one: &str, two: &str| {
            format!(
                r#"{{"requests":[{{"custom_id":"1","params":{{"model":"{one}"}}}},{{"custom_id":"2","params":{{"model":"{two}"}}}}]}}"#
            )
        };
        let (to, text, asked) = sent(Endpoint::MESSAGE_BATCHES, &batch("fast", "claude-opus-5")).unwrap();
        assert_eq!((&*to, text, asked), ("own", batch("claude-haiku-4-5", "claude-opus-5"), None));
        let error = sent(Endpoint::MESSAGE_BATCHES, &batch("fast", "gpt-5")).unwrap_err();
        assert_eq!(error, Misrouted::Batch("gpt-5".to_owned()));
    }
}
