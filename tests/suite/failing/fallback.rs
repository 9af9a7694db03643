//! A fallback upstream: when it takes over, with which model, and whose error the client sees.

use crate::harness::{Gateway, Origin, Script, answer, gateway, http1, origin, refusing};
use crate::payloads::{call, difference};

/// A gateway whose `first` upstream falls back on a second, which is this origin.
async fn before(first: &str, fallback: &str, second: &Origin, settings: &str) -> Gateway {
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  \
         first:\n    servers: [{{ address: \"{first}\" }}]\n    fallback: {fallback}\n  \
         second: {{ servers: [{{ address: \"{}\" }}] }}\nroutes: [{{ upstream: first }}]\n{settings}\n",
        second.server()
    );
    gateway().yaml(yaml).start().await
}

#[tokio::test]
async fn it_takes_over_when_nobody_is_there_and_when_the_attempts_are_spent() {
    let (nobody, busy, second) = (refusing(), origin().await, origin().await);
    busy.answers(answer(529).body("busy"));
    for first in [nobody.address().to_string(), busy.server()] {
        let gateway = before(&first, "second", &second, "").await;
        let before = second.count();
        let sent = call(300, 7);
        let answer = http1(gateway.address()).await.post("/v1/messages", sent.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello"), "{first}");
        assert_eq!(second.request(before).await.body, sent, "as it came");
        let row = gateway.logged(|_| true).await;
        assert_eq!((row["upstream"].as_str(), row["attempts"].as_u64()), (Some("second"), Some(2)));
        gateway.says("its fallback takes over").await;
        gateway.idle().await;
    }
}

#[tokio::test]
async fn what_went_wrong_before_is_told_of_the_upstream_it_went_wrong_on() {
    let (nobody, busy, second) = (refusing(), origin().await, origin().await);
    busy.answers(answer(529).body("busy"));
    for (first, error) in [(nobody.address().to_string(), "connect"), (busy.server(), "status")] {
        let gateway = before(&first, "second", &second, "").await;
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 7)).await.status, 200);
        let told: serde_json::Value =
            serde_json::from_str(&gateway.says(&format!("\"error\":\"{error}\"")).await).unwrap();
        assert_eq!((&told["upstream"], &told["server"]), (&"first".into(), &first.into()), "{told}");
        let metrics = gateway.metrics().await;
        let retries = ["first", "second"].map(|name| metrics.sum("tollgate_retries_total", &[("upstream", name)]));
        assert_eq!(retries, [1.0, 0.0]);
    }
}

#[tokio::test]
async fn it_is_asked_for_the_model_that_the_yaml_names_and_every_other_byte_stays() {
    let (nobody, second) = (refusing(), origin().await);
    let gateway = before(
        &nobody.address().to_string(),
        "{ upstream: second, model: other, models: { claude-opus-5: gpt-5 } }",
        &second,
        "plugins: [{ max_tokens: { limit: 4000 } }]",
    )
    .await;
    for (sent, seen) in [
        (
            r#"{ "x": 1e400 , "model":"claude-opus-5", "max_tokens" : 10 }"#,
            r#"{ "x": 1e400 , "model":"gpt-5", "max_tokens" : 10 }"#,
        ),
        (r#"{"max_tokens":1,"model":"m"}"#, r#"{"max_tokens":1,"model":"other"}"#),
        (r#"{"max_tokens":1}"#, r#"{"max_tokens":1}"#),
    ] {
        let number = second.count();
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", sent).await.status, 200);
        let request = second.request(number).await;
        assert_eq!(String::from_utf8(request.body).unwrap(), seen);
    }
    // so large that it is not read where others wait for it
    let sent = call(2_000_000, 7);
    let number = second.count();
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", sent.clone()).await.status, 200);
    let renamed = String::from_utf8(sent).unwrap().replacen("claude-opus-5", "gpt-5", 1);
    assert_eq!(difference(renamed.as_bytes(), &second.request(number).await.body), None);
}

#[tokio::test]
async fn an_upstream_that_serves_keeps_its_model() {
    let (first, second) = (origin().await, origin().await);
    let gateway = before(&first.server(), "{ upstream: second, model: other }", &second, "").await;
    let sent = call(70_000, 7);
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", sent.clone()).await.status, 200);
    assert_eq!(first.request(0).await.body, sent);
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn where_it_fails_too_the_last_word_of_a_server_reaches_the_client() {
    let (first, second) = (origin().await, origin().await);
    first.answers(answer(529).header("retry-after", "9").body("the first"));
    second.answers(answer(503).body("the second"));
    let gateway = before(&first.server(), "second", &second, "").await;
    let last = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((last.status.as_u16(), last.text().as_str()), (503, "the second"));
    second.answers(Script::closing());
    let last = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((last.status.as_u16(), last.header("retry-after")), (529, Some("9")));
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_not_asked_of_a_fallback() {
    let (first, second) = (origin().await, origin().await);
    first.answers(Script::closing());
    let gateway = before(&first.server(), "second", &second, "").await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, 502);
    first.answers(answer(400).body("your fault"));
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, 400);
    assert_eq!(second.count(), 0);
}
