//! Limits by who calls: what is admitted, what a refusal says on the wire, and what a call costs in the end.

mod cluster;
mod many_gateways;
mod restarts;

use nix::sys::signal::Signal;

use crate::harness::{
    Answer, Client, Gateway, Origin, answer, body, eventually, gate, gateway, h2c, http1, origin, sse,
};

const ANSWER: &str = r#"{"id":"m","type":"message","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":100}}"#;
/// What an answer reports.
const COST: u64 = 120;

/// A gateway with these settings of limits, whose origin answers each call with [`COST`] tokens.
async fn limited(settings: &str) -> (Origin, Gateway) {
    let origin = origin().await;
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    let builder = gateway().upstream(&origin).settings(&format!("plugins:\n  - rate_limit: {{ {settings} }}\n"));
    let gateway = builder.start().await;
    (origin, gateway)
}

fn call(max_tokens: u64) -> String {
    format!(r#"{{"model":"m","max_tokens":{max_tokens},"messages":[]}}"#)
}

async fn asked(client: &mut Client) -> Answer {
    client.post("/v1/messages", call(100)).await
}

/// Waits until nothing is held of a limit.
async fn nothing_is_held(gateway: &Gateway) {
    eventually("nothing held", async || gateway.metrics().await.sum("tollgate_limit_reserved", &[]) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_hundred_calls_at_once_no_more_pass_than_the_limit_has_tokens_for() {
    const LIMIT: u64 = 12_345;
    let (origin, gateway) =
        limited("limits: [{ by: all, tokens: 12345/month }, { by: model, requests: 1000000/h }], reserve: max_tokens")
            .await;
    let shared = h2c(gateway.address()).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..500 {
        let mut client = if number % 2 == 0 { shared.share() } else { http1(gateway.address()).await };
        calls.spawn(async move { asked(&mut client).await.status.as_u16() });
    }
    let statuses = calls.join_all().await;
    let admitted = statuses.iter().filter(|status| **status == 200).count() as u64;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)));
    assert!(admitted > 0 && admitted * COST <= LIMIT, "{admitted}");
    assert_eq!(origin.count() as u64, admitted);
    nothing_is_held(&gateway).await;
    // what is left is used up one by one, and then it is counted to the token
    let mut client = http1(gateway.address()).await;
    let (admitted, refused) = used_up(&mut client, admitted).await;
    let remaining: u64 = refused.header("anthropic-ratelimit-tokens-remaining").unwrap().parse().unwrap();
    assert_eq!(remaining, LIMIT - admitted * COST);
    let metrics = gateway.metrics().await;
    let rejected = metrics.sum("tollgate_limit_rejections_total", &[("limit", "all"), ("reason", "tokens")]);
    assert_eq!(rejected as u64, 500 - statuses.iter().filter(|status| **status == 200).count() as u64 + 1);
}

/// Asks until a call is refused; how many were admitted, with those before, and the refusal.
async fn used_up(client: &mut Client, mut admitted: u64) -> (u64, Answer) {
    loop {
        let answer = asked(client).await;
        if answer.status == 429 {
            return (admitted, answer);
        }
        assert_eq!(answer.status, 200);
        admitted += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_calls_are_in_progress_than_may_be_and_streams_that_break_off_leave_none() {
    let (origin, gateway) = limited("limits: [{ by: client_ip, concurrent: 20 }]").await;
    let open = gate();
    let start = r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    origin.answers(sse().event(start).wait(&open).event(r#"{"type":"message_stop"}"#).end());
    let shared = h2c(gateway.address()).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..200 {
        let mut client = if number % 2 == 0 { shared.share() } else { http1(gateway.address()).await };
        calls.spawn(async move {
            let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
            let stream = r#"{"model":"m","max_tokens":100,"stream":true,"messages":[]}"#;
            let streaming = client.send(request.body(body(stream)).unwrap()).await.unwrap();
            (streaming, client)
        });
    }
    let mut admitted: Vec<_> = calls.join_all().await.into_iter().filter(|(head, _)| head.status == 200).collect();
    assert_eq!((admitted.len(), origin.count()), (20, 20));
    assert_eq!(gateway.metrics().await.sum("tollgate_limit_reserved", &[("measure", "concurrent")]), 20.0);
    // half of the clients leave, the others read on
    admitted.truncate(10);
    eventually("ten left", async || gateway.metrics().await.sum("tollgate_limit_reserved", &[]) == 10.0).await;
    open.open();
    for (streaming, _) in admitted {
        assert_eq!(streaming.whole().await.status, 200);
    }
    nothing_is_held(&gateway).await;
    assert_eq!(http1(gateway.address()).await.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_refusal_has_the_headers_of_the_callers_provider_and_says_when_to_come_again() {
    let (origin, gateway) =
        limited("limits: [{ by: header:x-team, requests: 2/m }, { by: all, tokens: 1000000/d, name: daily }]").await;
    let ask = async |client: &mut Client, path: &str| {
        let request = client.request("POST", path).header("x-team", "blue");
        client.call(request.body(body(call(100))).unwrap()).await
    };
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        ask(&mut client, "/v1/messages").await;
        let refused = loop {
            let answer = ask(&mut client, "/v1/messages").await;
            if answer.status == 429 {
                break answer;
            }
        };
        assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("`header:x-team`") && message.contains("2 requests per minute for x-team blue"),
            "{message}"
        );
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&wait) && refused.header("x-should-retry").is_none(), "{wait}");
        assert_eq!(refused.header("anthropic-ratelimit-requests-limit"), Some("2"));
        assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), Some("0"));
        let refused = ask(&mut client, "/v1/chat/completions").await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &"rate_limit_exceeded".into()));
        assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("2"));
    }
    assert_eq!(origin.count(), 2);
    eventually("the lines", async || gateway.access_log().iter().any(|line| line["reason"] == "requests")).await;
}

#[tokio::test]
async fn a_reload_goes_on_with_the_counts() {
    let (_origin, gateway) = limited("limits: [{ by: all, requests: 2/month }]").await;
    let mut client = http1(gateway.address()).await;
    let (admitted, refused) = used_up(&mut client, 0).await;
    assert_eq!(admitted, 2);
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    gateway.rewrite(text.replace("2/month", "3/month"));
    gateway.signal(Signal::SIGHUP);
    let reloads = async || gateway.metrics().await.sum("tollgate_config_reloads_total", &[("result", "ok")]);
    eventually("a reload", async || reloads().await == 1.0).await;
    assert_eq!(used_up(&mut client, 0).await.0, 1);
}

#[tokio::test]
async fn retries_count_once_and_cached_answers_not_at_all() {
    let (busy, origin) = (origin().await, origin().await);
    busy.answers(answer(503).body("busy"));
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    let plugins = "plugins:\n  - rate_limit: { limits: [{ by: all, requests: 3/month }] }\n  - response_cache: {}\n";
    let retry = "balance: round_robin\nretry: { attempts: 2, on: [connect, error, http_503, non_idempotent] }";
    let builder = gateway().upstream(&busy).upstream(&origin).upstream_settings(retry).settings(plugins);
    let gateway = builder.start().await;
    let mut client = http1(gateway.address()).await;
    let mut ask = async |tokens: u64| {
        let request = client.request("POST", "/v1/messages").header("x-api-key", "k");
        let request = request.header("content-type", "application/json");
        client.call(request.body(body(call(tokens))).unwrap()).await
    };
    assert_eq!(ask(1).await.status, 200);
    for _ in 0..5 {
        assert_eq!(ask(1).await.header("x-cache"), Some("HIT"));
    }
    for tokens in [2, 3] {
        assert_eq!(ask(tokens).await.status, 200, "{tokens}");
    }
    assert_eq!(ask(4).await.status, 429);
    assert!(busy.count() > 0 && origin.count() == 3, "{} {}", busy.count(), origin.count());
}
