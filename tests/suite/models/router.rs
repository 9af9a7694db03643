//! `model_router`: the model that a call gets, what the answer and its row say of it, and what a conversation keeps.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::*;

const AUTO: &str = "  - model_router:\n      auto:\n        rules:\n          \
                    - { name: long, when: { text: [prove, \"refactor*\"] }, model: claude-opus-4-1 }\n          \
                    - { when: { tools: true }, model: gpt-5 }\n        \
                    otherwise: claude-haiku-4-5\n        \
                    escalate: [{ on: refusal, to: claude-opus-4-1 }]\n";

fn says(texts: &[&str]) -> Value {
    let messages: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| json!({ "role": if n % 2 == 0 { "user" } else { "assistant" }, "content": text }))
        .collect();
    json!({ "model": "auto", "max_tokens": 100, "messages": messages })
}

async fn call(client: &mut Client, call: &Value, session: &str) -> Answer {
    let request = client.request("POST", "/v1/messages").header("x-session-id", session);
    client.call(request.body(body(call.to_string())).unwrap()).await
}

#[tokio::test]
async fn the_names_that_are_routed_are_among_the_models() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let gateway = before([&first, &second, &third], RULES, &format!("plugins:\n{AUTO}  - model_list: {{}}\n")).await;
    let list = http1(gateway.address()).await.get("/v1/models").await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids[..2], ["auto", "fast"], "{ids:?}");
}

#[tokio::test]
async fn a_conversation_keeps_its_model_over_a_kill_and_its_rows_say_why() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let book = Book::Sqlite(Folder::new());
    let (database, journal) = (book.url(), book.journal());
    let more =
        format!("plugins:\n{AUTO}  - usage_log: {{ database: \"{database}\", journal: {{ path: {journal:?} }} }}\n");
    let refused = json!({
        "id": "m", "type": "message", "role": "assistant", "content": [], "model": "claude-haiku-4-5",
        "stop_reason": "refusal", "usage": { "input_tokens": 3, "output_tokens": 1 },
    });
    let mut gateway = before([&first, &second, &third], RULES, &more).await;
    let mut client = http1(gateway.address()).await;
    let model = |answer: &Answer| answer.header("x-tollgate-rule").map(str::to_owned);
    let asked = async |origin: &Origin| {
        let sent: Value = serde_json::from_str(&text_of(origin, origin.count() - 1).await).unwrap();
        sent["model"].as_str().unwrap().to_owned()
    };

    first.answers(answer(200).header("content-type", "application/json").body(message("claude-haiku-4-5")));
    let answered = call(&mut client, &says(&["hello"]), "s1").await;
    assert_eq!((answered.status.as_u16(), model(&answered).as_deref()), (200, Some("auto/otherwise")));
    assert_eq!(asked(&first).await, "claude-haiku-4-5");
    let answered = call(&mut client, &says(&["prove it"]), "s1").await;
    assert_eq!(model(&answered).as_deref(), Some("auto/long"));
    assert_eq!(asked(&first).await, "claude-opus-4-1");
    // a model of another upstream goes there
    let mut tools = says(&["look it up"]);
    tools["tools"] = json!([{ "name": "t", "input_schema": { "type": "object" } }]);
    assert_eq!(model(&call(&mut client, &tools, "s1").await).as_deref(), Some("auto/2"));
    assert_eq!((asked(&second).await, second.count()), ("gpt-5".to_owned(), 1));

    gateway.signal(Signal::SIGKILL);
    gateway.wait_exit(Duration::from_secs(10)).await;
    let gateway = before([&first, &second, &third], RULES, &more).await;
    let mut client = http1(gateway.address()).await;
    first.answers(answer(200).header("content-type", "application/json").body(refused.to_string()));
    let answered = call(&mut client, &says(&["hello", "hi", "now prove it"]), "s1").await;
    assert_eq!(model(&answered).as_deref(), Some("auto/otherwise; pinned"));
    assert_eq!(asked(&first).await, "claude-haiku-4-5");
    // it declined, so the conversation moves, and no other does
    let answered = call(&mut client, &says(&["hello", "hi", "now prove it", "no", "please"]), "s1").await;
    assert_eq!(model(&answered).as_deref(), Some("auto/escalated-refusal; pinned"));
    assert_eq!(asked(&first).await, "claude-opus-4-1");
    let answered = call(&mut client, &says(&["hello"]), "s2").await;
    assert_eq!(model(&answered).as_deref(), Some("auto/otherwise"));
    // another name passes, and so does its answer
    let other = json!({ "model": "claude-opus-5", "messages": [] });
    assert_eq!(model(&call(&mut client, &other, "s1").await), None);
    book.has_rows(7).await;
    let rules = book.sql("SELECT coalesce(rule, '-') FROM api_requests ORDER BY created_at");
    let wanted = [
        "auto/otherwise",
        "auto/long",
        "auto/2",
        "auto/otherwise; pinned",
        "auto/escalated-refusal; pinned",
        "auto/otherwise",
        "-",
    ];
    assert_eq!(rules.lines().collect::<Vec<_>>(), wanted);
    let models = book.sql("SELECT model, requested_model FROM api_requests WHERE rule = 'auto/2'");
    assert_eq!(models, "auto|auto");
}
