//! The lists that callers get, without sockets.

use std::path::Path;
use std::sync::Arc;

use plugin_api::http::{HeaderMap, Uri, Version};
use plugin_api::testing::{self, context};
use plugin_api::{AnswerModel, Context, Glob, Grants, HeaderEdits, ModelRule, RequestHead, RouteModels};
use serde_json::Value;

use super::*;

fn plugin(settings: &str) -> ModelList {
    ModelList { catalog: Catalog::new(&serde_json::from_str(settings).unwrap()), names: Default::default() }
}

fn rules(patterns: &[&str]) -> RouteModels {
    let rule = |pattern: &&str| ModelRule {
        pattern: Glob::new(pattern),
        model: None,
        upstream: None,
        answer_model: AnswerModel::Served,
    };
    RouteModels::new(patterns.iter().map(rule).collect())
}

/// A caller who may ask for these models.
fn may(models: &[&str]) -> Context {
    let mut context = context();
    let models = models.iter().map(|model| Glob::new(model)).collect();
    context.principal_mut().grants = Some(Arc::new(Grants { models: Some(models), ..Grants::default() }));
    context
}

/// The status, and what the answer says; `None`: the request goes on.
async fn ask(
    plugin: &ModelList,
    models: &RouteModels,
    mut context: Context,
    (method, target): (Method, &'static str),
    protocol: &'static Protocol,
) -> Option<(u16, Value)> {
    let (uri, headers) = (Uri::from_static(target), HeaderMap::new());
    let mut request = Request {
        context: &mut context,
        head: RequestHead {
            method: &method,
            target: target.as_bytes(),
            path: uri.path(),
            version: Version::HTTP_11,
            host: "test.example",
            server_name: "test.example",
            headers: &headers,
        },
        uri: &uri,
        upstream: "test",
        models,
        endpoint: None,
        protocol,
        reads_messages: false,
        edits: HeaderEdits::default(),
    };
    match testing::on_request(plugin, &mut (), &mut request).await {
        Flow::Continue => None,
        Flow::Answer(reply) => {
            assert_eq!(reply.outcome, Outcome::Cached, "nothing that looks like a failed call");
            let body = reply.body.whole().unwrap();
            Some((reply.status.as_u16(), serde_json::from_slice(body).unwrap_or_default()))
        }
        Flow::Refuse(refusal) => panic!("{refusal:?}"),
    }
}

async fn names(settings: &str, models: &[&str], context: Context, protocol: &'static Protocol) -> Vec<String> {
    let asked = (Method::GET, "/v1/models?limit=1000");
    let (status, list) = ask(&plugin(settings), &rules(models), context, asked, protocol).await.unwrap();
    assert_eq!(status, 200);
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_caller_is_told_of_what_it_may_ask_for_here_and_of_nothing_else() {
    let (anthropic, openai) = (Protocol::ANTHROPIC, Protocol::OPENAI);
    let fast = || names("{}", &["fast", "claude-opus-*"], context(), openai);
    let all = fast().await;
    assert_eq!(all[0], "fast");
    assert!(all.len() > 1 && all[1..].iter().all(|name| name.starts_with("claude-opus-")), "{all:?}");
    assert_eq!(names("{}", &["fast", "claude-opus-*"], may(&["fast", "gpt-*"]), openai).await, ["fast"]);
    // the own upstream's models, by name, by pattern, and as the caller's own grants name them
    let own = r#"{"models":["llama","gpt-5"]}"#;
    assert_eq!(names(own, &["fast"], context(), anthropic).await, ["fast", "llama", "gpt-5"]);
    assert_eq!(names(own, &["fast"], may(&["*"]), anthropic).await, ["fast", "llama", "gpt-5"]);
    assert_eq!(names(r#"{"models":["llama-*"]}"#, &["fast"], may(&["llama-7", "mixtral"]), openai).await, ["llama-7"]);
    assert_eq!(names(r#"{"models":[]}"#, &[], context(), openai).await, [""; 0]);
    // without a word of the operator: what the provider of the caller's API sells
    for (protocol, of, not) in [(anthropic, "claude-opus-5", "gpt-5"), (openai, "gpt-5", "claude-opus-5")] {
        let names = names("{}", &[], context(), protocol).await;
        assert!(names.iter().any(|name| name == of) && !names.iter().any(|name| name == not), "{names:?}");
    }
    assert_eq!(names("{}", &[], may(&["llama"]), anthropic).await, ["llama"]);
}

#[tokio::test]
async fn names_for_which_a_model_is_chosen_are_told_first_to_those_who_may_ask_for_them() {
    let asked = |context| async {
        let models = rules(&["fast"]).with_routed(vec!["auto".into()]);
        let asked = (Method::GET, "/v1/models");
        let (_, list) = ask(&plugin("{}"), &models, context, asked, Protocol::OPENAI).await.unwrap();
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(context()).await, ["auto", "fast"]);
    assert_eq!(asked(may(&["a*"])).await, ["auto"]);
    assert_eq!(asked(may(&["fast"])).await, ["fast"]);
}

#[tokio::test]
async fn every_dialect_has_its_own_list_its_own_models_and_its_own_404() {
    let (plugin, models) = (plugin("{}"), rules(&["b", "a/1"]));
    let ask = async |target, protocol| ask(&plugin, &models, context(), (Method::GET, target), protocol).await.unwrap();
    let (status, list) = ask("/v1/models?limit=1", Protocol::ANTHROPIC).await;
    let b =
        serde_json::json!({ "type": "model", "id": "b", "display_name": "b", "created_at": "1970-01-01T00:00:00Z" });
    assert_eq!(
        (status, &list),
        (200, &serde_json::json!({ "data": [b], "has_more": true, "first_id": "b", "last_id": "b" }))
    );
    assert_eq!(ask("/v1/models/b", Protocol::ANTHROPIC).await, (200, b));
    assert_eq!(ask("/v1/models?limit=1&after_id=a%2F1", Protocol::ANTHROPIC).await.1["first_id"], Value::Null);
    let (_, list) = ask("/v1/models?limit=1", Protocol::OPENAI).await;
    assert_eq!((&list["object"], list["data"].as_array().unwrap().len()), (&"list".into(), 2));
    assert_eq!(ask("/v1/models/a%2F1", Protocol::OPENAI).await.1, list["data"][1]);
    for (target, protocol, status, kind) in [
        ("/v1/models/c", Protocol::ANTHROPIC, 404, "not_found_error"),
        ("/v1/models/c", Protocol::OPENAI, 404, "invalid_request_error"),
        ("/v1/models?limit=0", Protocol::ANTHROPIC, 400, "invalid_request_error"),
    ] {
        let (found, error) = ask(target, protocol).await;
        assert_eq!((found, &error["error"]["type"]), (status, &kind.into()), "{target}");
    }
}

#[tokio::test]
async fn what_is_none_of_its_business_goes_on() {
    for (method, target) in [
        (Method::POST, "/v1/models"),
        (Method::DELETE, "/v1/models/a"),
        (Method::GET, "/api/hello"),
        (Method::GET, "/v1/files"),
    ] {
        let passed = ask(&plugin("{}"), &rules(&[]), context(), (method, target), Protocol::OPENAI).await;
        assert!(passed.is_none(), "{target}");
    }
    let hello = ask(&plugin("{}"), &rules(&[]), may(&[]), (Method::HEAD, "/api/hello"), Protocol::OPENAI).await;
    assert_eq!(hello, Some((200, Value::Null)));
}

#[test]
fn an_empty_name_is_a_mistake() {
    let config: Config = serde_json::from_str(r#"{"models":["a",""]}"#).unwrap();
    assert!(ModelList::check(&config).is_err());
    assert!(ModelList::check_files(&config, Path::new("")).is_ok());
}
