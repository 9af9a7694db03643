//! The `models` of a route: the name and the upstream that a call gets, and the name that its answer gives.

mod answers;
mod import;
mod list;
mod router;
mod sessions;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Folder, Gateway, Origin, answer, body, eventually, gateway, h2c, http1, origin, refusing,
};
use crate::ledger::book::Book;

/// Two upstreams, each with credentials of its own, and a third to fall back on. `models` are those of the one route.
fn yaml(servers: [&str; 3], models: &str, more: &str) -> String {
    let [anthropic, openai, reserve] = servers;
    format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  \
         anthropic: {{ servers: [{{ address: \"{anthropic}\" }}], headers: {{ x-api-key: first }} }}\n  \
         openai:\n    servers: [{{ address: \"{openai}\" }}]\n    headers: {{ authorization: Bearer second, x-api-key: off }}\n    \
         fallback: {{ upstream: reserve, models: {{ \"GPT-5*\": other }} }}\n  \
         reserve: {{ servers: [{{ address: \"{reserve}\" }}] }}\n\
         routes:\n  - upstream: anthropic\n    models: [{models}]\n{more}"
    )
}

async fn before(origins: [&Origin; 3], models: &str, more: &str) -> Gateway {
    let servers = origins.map(Origin::server);
    gateway().yaml(yaml(servers.each_ref().map(String::as_str), models, more)).start().await
}

async fn clients(gateway: &Gateway) -> [Client; 2] {
    [http1(gateway.address()).await, h2c(gateway.address()).await]
}

async fn text_of(origin: &Origin, number: usize) -> String {
    String::from_utf8(origin.request(number).await.body).unwrap()
}

/// A message that this model has written.
fn message(model: &str) -> String {
    let usage = json!({ "input_tokens": 3, "output_tokens": 5 });
    json!({
        "id": "m", "type": "message", "role": "assistant", "content": [], "model": model,
        "stop_reason": "end_turn", "usage": usage,
    })
    .to_string()
}

const RULES: &str = "{ match: fast, model: claude-haiku-4-5 }, { match: \"gpt-*\", upstream: openai }, \
                     { match: mini, model: gpt-5-mini, upstream: openai }";

#[tokio::test]
async fn a_model_is_renamed_where_it_stands_and_goes_to_its_upstream_with_that_ones_credentials() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let gateway = before([&first, &second, &third], RULES, "").await;
    for mut client in clients(&gateway).await {
        for (sent, to, seen) in [
            (
                r#"{ "x": 1e400 , "model" : "fast", "messages" : [] }"#,
                &first,
                r#"{ "x": 1e400 , "model" : "claude-haiku-4-5", "messages" : [] }"#,
            ),
            (r#"{"model":"gpt-5","input":[ ]}"#, &second, r#"{"model":"gpt-5","input":[ ]}"#),
            (r#"{"model":"mini"}"#, &second, r#"{"model":"gpt-5-mini"}"#),
            (r#"{"model":"claude-opus-5"}"#, &first, r#"{"model":"claude-opus-5"}"#),
            ("no JSON", &first, "no JSON"),
        ] {
            let number = to.count();
            assert_eq!(client.post("/v1/messages", sent).await.status, 200);
            assert_eq!(text_of(to, number).await, seen);
            let came = to.request(number).await;
            let of_first = (Some("first"), None);
            let wanted = if std::ptr::eq(to, &raw const first) { of_first } else { (None, Some("Bearer second")) };
            assert_eq!((came.header("x-api-key"), came.header("authorization")), wanted);
        }
        // what carries no model goes where the route says, as it comes
        let number = first.count();
        assert_eq!(client.post("/v1/files", r#"{"model":"gpt-5"}"#).await.status, 200);
        assert_eq!(client.get("/v1/models").await.status, 200);
        assert_eq!(text_of(&first, number).await, r#"{"model":"gpt-5"}"#);
    }
    assert_eq!((first.count(), second.count()), (10, 4));
}

#[tokio::test]
async fn a_fallback_sees_the_name_that_the_route_gave_and_its_own_patterns_come_after() {
    let (first, third) = (origin().await, origin().await);
    let nobody = refusing();
    third.answers(answer(200).header("content-type", "application/json").body(message("other-2026")));
    let rules = RULES.replace("upstream: openai }", "upstream: openai, answer_model: asked }");
    let yaml = yaml([&first.server(), &nobody.address().to_string(), &third.server()], &rules, "");
    let gateway = gateway().yaml(yaml).start().await;
    for (at, mut client) in clients(&gateway).await.into_iter().enumerate() {
        let answer = client.post("/v1/messages", r#"{"model":"mini", "max_tokens":1}"#).await;
        assert_eq!(text_of(&third, 2 * at).await, r#"{"model":"other", "max_tokens":1}"#);
        assert_eq!(answer.text(), message("mini"), "the asked name comes back from a fallback too");
        client.post("/v1/messages", r#"{"model":"gpt-4o"}"#).await;
        assert_eq!(text_of(&third, 2 * at + 1).await, r#"{"model":"gpt-4o"}"#);
    }
}

#[tokio::test]
async fn a_row_has_the_name_that_was_asked_for_and_the_price_of_the_model_that_served() {
    let book = Book::Sqlite(Folder::new());
    let (first, second, third) = (origin().await, origin().await, origin().await);
    // the first does not say which model it is
    first.answers(answer(200).header("content-type", "application/json").body(message("")));
    second.answers(answer(200).header("content-type", "application/json").body(message("gpt-5-mini-2025-08-07")));
    let (database, journal) = (book.url(), book.journal());
    let ledger = format!("plugins:\n  - usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }}\n");
    let gateway = before([&first, &second, &third], RULES, &ledger).await;
    for (model, path) in [("fast", "/1/v1/messages"), ("mini", "/2/v1/messages"), ("claude-opus-5", "/3/v1/messages")] {
        let call = format!(r#"{{"model":"{model}","messages":[]}}"#);
        assert_eq!(http1(gateway.address()).await.post(path, call).await.status, 200);
    }
    let two = r#"{"model":"fast","model":"gpt-5"}"#;
    let refused = http1(gateway.address()).await.post("/4/v1/messages", two).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["type"]), (400, &"invalid_request_error".into()));
    let columns =
        "model, coalesce(requested_model, '-'), coalesce(served_model, '-'), upstream, cost_picos, outcome, error_type";
    let query = format!("SELECT {columns} FROM api_requests ORDER BY path");
    let mut rows = String::new();
    eventually("four rows", async || {
        rows = book.ask(&query).unwrap_or_default();
        rows.lines().count() == 4
    })
    .await;
    assert_eq!(
        rows.lines().collect::<Vec<_>>(),
        [
            "fast|fast|-|anthropic|28000000|completed|",
            "mini|mini|gpt-5-mini-2025-08-07|openai|10750000|completed|",
            "claude-opus-5|-|-|anthropic|140000000|completed|",
            "gpt-5|-|-|anthropic||refused|invalid_request_error",
        ]
    );
}

#[tokio::test]
async fn what_is_not_certain_is_refused_in_dialect_and_a_batch_stays_together() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let gateway = before([&first, &second, &third], RULES, "").await;
    let refused = async |client: &mut Client, path: &str, sent: String| -> (u16, Value) {
        let answer: Answer = client.post(path, sent).await;
        (answer.status.as_u16(), answer.json()["error"].clone())
    };
    let batch = |two: &str| {
        json!({ "requests": [
            { "custom_id": "1", "params": { "model": "fast" } },
            { "custom_id": "2", "params": { "model": two } },
        ] })
        .to_string()
    };
    for mut client in clients(&gateway).await {
        for path in ["/v1/messages", "/v1/chat/completions"] {
            let (status, error) = refused(&mut client, path, r#"{"MODEL":"gpt-5","model":"fast"}"#.to_owned()).await;
            assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")));
            assert!(error["message"].as_str().unwrap().contains("more than once"), "{error}");
        }
        let (status, error) = refused(&mut client, "/v1/messages/batches", batch("gpt-5")).await;
        assert!(status == 400 && error["message"].as_str().unwrap().contains("`gpt-5`"), "{error}");
        let number = first.count();
        assert_eq!(client.post("/v1/messages/batches", batch("claude-opus-5")).await.status, 200);
        assert_eq!(text_of(&first, number).await, batch("claude-opus-5").replace("fast", "claude-haiku-4-5"));
    }
    gateway.logged(|line| line["error"] == "unroutable_model" && line["outcome"] == "refused").await;
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn a_large_call_and_one_that_comes_encoded_are_renamed_too() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let gateway = before([&first, &second, &third], RULES, "").await;
    let text = "x".repeat(3 << 20);
    let call = |model: &str| format!(r#"{{"messages":["{text}"],"model":"{model}"}}"#);
    for mut client in clients(&gateway).await {
        let number = second.count();
        assert_eq!(client.post("/v1/messages", call("mini")).await.status, 200);
        assert!(text_of(&second, number).await == call("gpt-5-mini"));
        let packed = crate::cache::gzip(&call("mini"));
        let request = client.request("POST", "/v1/messages").header("content-encoding", "gzip");
        assert_eq!(client.call(request.body(body(packed)).unwrap()).await.status, 200);
        assert!(text_of(&second, number + 1).await == call("gpt-5-mini"));
        assert_eq!(second.request(number + 1).await.header("content-encoding"), None);
    }
}
