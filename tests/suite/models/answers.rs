//! The model that an answer names: the one that served, byte for byte, or the one that was asked for.

use super::*;
use crate::harness::{Script, sse};

const ASKED: &str =
    "{ match: fast, model: claude-haiku-4-5, answer_model: asked }, { match: plain, model: claude-haiku-4-5 }";

fn call(model: &str) -> String {
    format!(r#"{{"model":"{model}","max_tokens":9,"messages":[]}}"#)
}

/// The events of a stream of either dialect, by this model.
fn events(path: &str, model: &str) -> String {
    let start = if path.ends_with("messages") {
        format!(
            "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"m\",\"model\":\"{model}\"}}}}\n\n"
        )
    } else {
        format!(
            "data: {{\"id\":\"c\", \"model\": \"{model}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\"}}}}]}}\n\n"
        )
    };
    let end = if path.ends_with("messages") {
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    } else {
        "data: [DONE]\n\n"
    };
    format!("{start}: a comment about the \"model\":\"x\"\n\n{end}")
}

fn streamed(text: &str) -> Script {
    text.split_inclusive("\n\n").fold(sse(), |script, event| script.data(event)).end()
}

#[tokio::test]
async fn the_asked_name_stands_in_bodies_and_streams_of_either_dialect_and_every_other_byte_stays() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let gateway = before([&first, &second, &third], ASKED, "").await;
    for mut client in clients(&gateway).await {
        for path in ["/v1/messages", "/v1/chat/completions"] {
            for (model, back) in [("fast", "fast"), ("plain", "claude-haiku-4-5-2026")] {
                first.answers_next(
                    answer(200).header("content-type", "application/json").body(message("claude-haiku-4-5-2026")),
                );
                let told = client.post(path, call(model)).await;
                assert_eq!((told.status.as_u16(), told.text()), (200, message(back)), "{path}");
                first.answers_next(streamed(&events(path, "claude-haiku-4-5-2026")));
                assert_eq!(client.post(path, call(model)).await.text(), events(path, back), "{path}");
            }
            // an error passes as it is
            let error = r#"{"type":"error","model":"x"}"#;
            first.answers_next(answer(400).header("content-type", "application/json").body(error));
            assert_eq!(client.post(path, call("fast")).await.text(), error);
        }
    }
}

#[tokio::test]
async fn an_encoded_answer_is_decoded_for_it_and_passes_encoded_without() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let packed = crate::cache::gzip(&message("claude-haiku-4-5"));
    first.answers(
        answer(200).header("content-type", "application/json").header("content-encoding", "gzip").body(&packed),
    );
    let gateway = before([&first, &second, &third], ASKED, "").await;
    for (at, mut client) in clients(&gateway).await.into_iter().enumerate() {
        for (model, encoding, accepted) in [("fast", None, "identity"), ("plain", Some("gzip"), "gzip")] {
            let request = client.request("POST", "/v1/messages").header("accept-encoding", "gzip");
            let told = client.call(request.body(body(call(model))).unwrap()).await;
            assert_eq!(told.header("content-encoding"), encoding);
            let wanted = if encoding.is_some() { packed.clone() } else { message("fast").into_bytes() };
            assert_eq!(told.body[..], wanted[..]);
            let number = 2 * at + usize::from(encoding.is_some());
            assert_eq!(first.request(number).await.header("accept-encoding"), Some(accepted), "only where it must");
        }
    }
}

#[tokio::test]
async fn an_event_of_a_stream_leaves_as_soon_as_it_is_whole() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    let gateway = before([&first, &second, &third], ASKED, "").await;
    let wait = crate::harness::gate();
    let text = events("/v1/messages", "claude-haiku-4-5");
    let (start, rest) = text.split_at(text.find("\n\n").unwrap() + 2);
    first.answers(sse().data(start).wait(&wait).data(rest).end());
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").body(body(call("fast"))).unwrap();
    let mut told = client.send(request).await.unwrap();
    let came = told.until("\n\n").await;
    assert!(came.contains("\"model\":\"fast\""), "{came}");
    wait.open();
    assert!(told.whole().await.text().ends_with("message_stop\"}\n\n"));
}

#[tokio::test]
async fn a_cached_answer_is_that_of_the_model_that_the_rules_of_today_name() {
    let (first, second, third) = (origin().await, origin().await, origin().await);
    for (origin, model) in [(&first, "claude-haiku-4-5"), (&second, "gpt-5-mini")] {
        origin.answers(answer(200).header("content-type", "application/json").body(message(model)));
    }
    let plugins = "plugins: [{ response_cache: { scope: { name: all } } }]\n";
    let gateway = before([&first, &second, &third], ASKED, plugins).await;
    let servers = [&first, &second, &third].map(Origin::server);
    let servers = servers.each_ref().map(String::as_str);
    let told = async || {
        let told = http1(gateway.address()).await.post("/v1/messages", call("fast")).await;
        (told.header("x-cache").unwrap().to_owned(), told.json()["model"].as_str().unwrap().to_owned())
    };
    let expect = |cache: &str, model: &str| (cache.to_owned(), model.to_owned());
    assert_eq!(told().await, expect("MISS", "fast"));
    assert_eq!(told().await, expect("HIT", "fast"));
    for (rules, model) in [
        ("{ match: fast, model: claude-haiku-4-5 }", "claude-haiku-4-5"),
        ("{ match: fast, upstream: openai }", "gpt-5-mini"),
        ("{ match: fast, model: gpt-5-mini, upstream: openai }", "gpt-5-mini"),
        ("{ match: \"f*\", model: gpt-5-mini, upstream: openai, answer_model: asked }", "fast"),
    ] {
        gateway.rewrite(yaml(servers, rules, plugins));
        assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
        assert_eq!(told().await, expect("MISS", model), "{rules}");
        assert_eq!(told().await, expect("HIT", model), "{rules}");
    }
    // the rules of before have their answers still
    gateway.rewrite(yaml(servers, ASKED, plugins));
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    assert_eq!(told().await, expect("HIT", "fast"));
}
