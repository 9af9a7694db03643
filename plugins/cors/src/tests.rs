use std::path::Path;
use std::sync::Arc;

use plugin_api::http::{HeaderName, StatusCode};
use plugin_api::testing::{self, TestRequest, context};
use plugin_api::{Common, HeaderEdit, Reply};
use serde_json::{Value, json};

use super::*;

fn config(settings: Value) -> Config {
    serde_json::from_value(settings).unwrap()
}

fn plugin(settings: Value) -> Cors {
    let (shared, secrets, common) = (Arc::new(()), Arc::from([]), Arc::new(Common::default()));
    let context = BuildContext { base: Path::new(""), shared: &shared, secrets: &secrets, common: &common };
    Cors::build(&config(settings), &context).unwrap()
}

fn full() -> Cors {
    plugin(json!({
        "origins": ["https://app.example.com", "https://*.example.org"],
        "methods": ["POST"],
        "headers": ["authorization", "Content-Type"],
        "expose": ["x-request-id"],
        "credentials": true,
        "max_age": "1h",
    }))
}

/// A preflight of a page of this origin.
async fn preflight(plugin: &Cors, origin: &'static str) -> Result<Reply, u16> {
    let request = TestRequest::asking(Method::OPTIONS, "/v1/messages")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-stainless-os");
    match testing::on_request(plugin, &mut (), &mut request.request(&mut context())).await {
        Flow::Answer(reply) => Ok(*reply),
        Flow::Refuse(refusal) => Err(refusal.status().as_u16()),
        Flow::Continue => panic!("the preflight went on"),
    }
}

/// The changes to the headers of an answer: `-name`, `name=value`, `name+=value`.
fn edits(plugin: &Cors, request: TestRequest, answer: &[(&'static str, &'static str)]) -> Vec<String> {
    let headers: HeaderMap =
        answer.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
    let mut context = context();
    let mut response = request.response(&mut context, StatusCode::OK, &headers);
    assert!(plugin.try_on_response(&mut (), &mut response).is_some());
    let text = |edit: &HeaderEdit| match edit {
        HeaderEdit::Remove(name) => format!("-{name}"),
        HeaderEdit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
        HeaderEdit::Append(name, value) => format!("{name}+={}", value.to_str().unwrap()),
    };
    response.edits.iter().map(text).collect()
}

fn post() -> TestRequest {
    TestRequest::asking(Method::POST, "/v1/messages")
}

#[tokio::test]
async fn a_preflight_is_answered_here() {
    let reply = preflight(&full(), "https://app.example.com").await.unwrap();
    assert_eq!((reply.status, reply.body.whole().map(|body| body.len())), (StatusCode::NO_CONTENT, Some(0)));
    for (name, wanted) in [
        ("access-control-allow-origin", "https://app.example.com"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "authorization, content-type"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "3600"),
        ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ] {
        assert_eq!(reply.headers[name], wanted, "{name}");
    }
    assert_eq!(preflight(&full(), "https://evil.test").await.unwrap_err(), 403);
}

#[tokio::test]
async fn any_page_may_send_what_it_asks_for_where_the_yaml_says_so() {
    let any = plugin(json!({ "origins": ["*"] }));
    let reply = preflight(&any, "https://a.test").await.unwrap();
    assert_eq!(reply.headers["access-control-allow-origin"], "*");
    assert_eq!(reply.headers["access-control-allow-methods"], "GET, HEAD, POST");
    assert_eq!(reply.headers["access-control-allow-headers"], "authorization,x-stainless-os");
    assert_eq!(reply.headers["access-control-max-age"], "600");
    assert!(!reply.headers.contains_key("access-control-allow-credentials"));
    assert_eq!(edits(&any, post().header("origin", "null"), &[]), ["access-control-allow-origin=*"]);
}

#[tokio::test]
async fn an_answer_says_which_page_may_read_it() {
    let own = [
        "vary+=Origin",
        "access-control-allow-origin=https://a.example.org",
        "access-control-allow-credentials=true",
        "access-control-expose-headers=x-request-id",
    ];
    assert_eq!(edits(&full(), post().header("origin", "https://a.example.org"), &[]), own);
    let theirs = [("access-control-allow-origin", "*"), ("access-control-allow-methods", "GET")];
    let all = edits(&full(), post().header("origin", "https://a.example.org"), &theirs);
    assert_eq!((&*all[0], &all[1..]), ("-access-control-allow-origin", &own.map(str::to_owned)[..]));
    assert_eq!(edits(&full(), post().header("origin", "https://evil.test"), &[]), ["vary+=Origin"]);
    assert_eq!(edits(&full(), post(), &[]), ["vary+=Origin"]);
}

#[tokio::test]
async fn what_is_no_preflight_goes_on() {
    for request in [
        TestRequest::asking(Method::OPTIONS, "/"),
        TestRequest::asking(Method::OPTIONS, "/").header("origin", "https://app.example.com"),
        post().header("origin", "https://evil.test").header("access-control-request-method", "POST"),
    ] {
        let flow = testing::on_request(&full(), &mut (), &mut request.request(&mut context())).await;
        assert!(matches!(flow, Flow::Continue), "{request:?}");
    }
}

#[test]
fn credentials_for_any_page_are_an_error() {
    for (settings, wanted) in [
        (json!({ "origins": ["*"], "credentials": true }), "`credentials` need `origins` by name"),
        (
            json!({ "origins": ["https://a.example", "null"], "credentials": true }),
            "`null` is the origin of every file and every sandboxed frame",
        ),
        (json!({ "origins": [] }), "`origins` is empty"),
        (json!({ "origins": ["*", "https://a.example"] }), "the others say nothing"),
    ] {
        let problem = Cors::check(&config(settings)).unwrap_err();
        assert!(problem.message().contains(wanted), "{problem}");
    }
    for wrong in [json!({ "origins": ["a"] }), json!({ "origins": ["*"], "methods": ["post"] })] {
        assert!(serde_json::from_value::<Config>(wrong).is_err());
    }
}
