//! Other attempts on other servers: when there is one, when there must be none, and how requests are spread.

mod kept;
mod spread;
mod unprocessed;

use crate::harness::{
    Gateway, Origin, Script, answer, body, eventually, gateway, http1, origin, refusing, sse, upload,
};
use crate::payloads::{call, difference, noise};

/// A gateway before several servers, each with its weight.
async fn before(servers: &[(String, u32)], upstream: &str, settings: &str) -> Gateway {
    let servers: Vec<_> =
        servers.iter().map(|(address, weight)| format!("{{ address: \"{address}\", weight: {weight} }}")).collect();
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams:\n  origin:\n    servers: [{}]\n    {upstream}\nroutes: [{{ upstream: origin }}]\n{settings}\n",
        servers.join(", ")
    );
    gateway().yaml(yaml).start().await
}

const READS_BODIES: &str = "plugins: [{ max_tokens: { limit: 4000 } }]";

fn overloaded(words: &str) -> Script {
    answer(529).header("retry-after", "7").body(words)
}

#[tokio::test]
async fn a_server_that_refuses_connections_costs_no_request() {
    let (nobody, origin) = (refusing(), origin().await);
    let gateway = gateway().server(nobody.address()).upstream(&origin).start().await;
    for number in 0..6 {
        let answer = http1(gateway.address()).await.post("/v1/messages", noise(1000)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(difference(&noise(1000), &origin.request(number).await.body), None);
    }
    let lines = eventually_logged(&gateway, 6).await;
    assert!(lines.iter().all(|line| line["server"] == origin.server() && line["error"].is_null()), "{lines:?}");
    assert!(lines.iter().any(|line| line["attempts"] == 2), "{lines:?}");
}

async fn eventually_logged(gateway: &Gateway, n: usize) -> Vec<serde_json::Value> {
    eventually("lines in the access log", async || gateway.access_log().len() >= n).await;
    gateway.access_log()
}

#[tokio::test]
async fn an_overloaded_server_hands_the_same_body_to_another() {
    for status in [429, 502, 503, 529] {
        let (busy, free) = (origin().await, origin().await);
        busy.answers(answer(status).body("busy"));
        for settings in ["", READS_BODIES] {
            let gateway =
                before(&[(busy.server(), 60_000), (free.server(), 1)], "balance: round_robin", settings).await;
            let (before_busy, before_free) = (busy.count(), free.count());
            let sent = call(40_000, 10);
            let answer = http1(gateway.address()).await.post("/v1/messages?x=1", sent.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello"), "{status}");
            for seen in [busy.request(before_busy).await, free.request(before_free).await] {
                assert_eq!(difference(&sent, &seen.body), None, "{status}");
                assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/messages?x=1"));
            }
        }
    }
}

#[tokio::test]
async fn the_last_attempts_own_answer_reaches_the_client() {
    let (first, second) = (origin().await, origin().await);
    first.answers(overloaded("the first is busy"));
    second.answers(answer(503).header("retry-after", "9").body("the second is busy"));
    let gateway = before(&[(first.server(), 60_000), (second.server(), 1)], "balance: round_robin", READS_BODIES).await;
    let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (503, "the second is busy"));
    assert_eq!(answer.header("retry-after"), Some("9"));
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[tokio::test]
async fn an_only_server_is_asked_once_and_its_answer_is_passed_on() {
    let origin = origin().await;
    origin.answers(overloaded("busy"));
    let gateway = gateway().upstream(&origin).upstream_settings("retry: { attempts: 5 }").start().await;
    let answer = http1(gateway.address()).await.post("/v1/messages", "x").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (529, "busy"));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_single_attempt_is_a_single_try() {
    let (busy, free) = (origin().await, origin().await);
    busy.answers(overloaded("busy"));
    let upstream = "balance: round_robin\n    retry: { attempts: 1 }";
    let gateway = before(&[(busy.server(), 60_000), (free.server(), 1)], upstream, READS_BODIES).await;
    let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (529, "busy"));
    assert_eq!((busy.count(), free.count()), (1, 0));

    let nobody = refusing();
    let gateway = before(&[(nobody.address().to_string(), 60_000), (free.server(), 1)], upstream, "").await;
    assert_eq!(http1(gateway.address()).await.post("/v1/messages", "x").await.status, 502);
    assert_eq!(free.count(), 0);
}

#[tokio::test]
async fn there_are_as_many_attempts_as_allowed_and_each_on_another_server() {
    let servers = [origin().await, origin().await, origin().await, origin().await];
    for server in &servers {
        server.answers(overloaded("busy"));
    }
    let addresses: Vec<_> = servers.iter().map(|server| (server.server(), 1)).collect();
    for attempts in [2, 3, 4, 10] {
        let before_it: Vec<_> = servers.iter().map(Origin::count).collect();
        let gateway = before(&addresses, &format!("retry: {{ attempts: {attempts} }}"), READS_BODIES).await;
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, 529);
        let asked: Vec<_> = servers.iter().zip(before_it).map(|(server, before)| server.count() - before).collect();
        assert_eq!(asked.iter().sum::<usize>(), attempts.min(4), "{attempts}: {asked:?}");
        assert!(asked.iter().all(|times| *times <= 1), "{asked:?}");
        assert_eq!(eventually_logged(&gateway, 1).await[0]["attempts"], attempts.min(4));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_named_is_passed_on() {
    let (first, second) = (origin().await, origin().await);
    let upstream = "balance: round_robin\n    eject: { on: [] }";
    let gateway = before(&[(first.server(), 60_000), (second.server(), 1)], upstream, READS_BODIES).await;
    for status in [400, 401, 404, 413, 500, 504] {
        first.answers(answer(status).body("mine"));
        let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, "mine"));
    }
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn a_call_that_may_have_been_carried_out_is_tried_again_only_where_the_yaml_says_so() {
    for (on, status, tried) in [("connect", 502, 0), ("error", 502, 0), ("error, non_idempotent", 200, 1)] {
        let (broken, free) = (origin().await, origin().await);
        broken.answers(Script::closing());
        let upstream = format!("balance: round_robin\n    retry: {{ on: [{on}] }}");
        let gateway = before(&[(broken.server(), 60_000), (free.server(), 1)], &upstream, READS_BODIES).await;
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, status, "{on}");
        assert_eq!((broken.count(), free.count()), (1, tried), "{on}");
    }
    for (on, status, tried) in [("connect", 504, 0), ("timeout", 504, 0), ("timeout, non_idempotent", 200, 1)] {
        let (silent, free) = (origin().await, origin().await);
        silent.answers(Script::silent());
        let upstream =
            format!("balance: round_robin\n    retry: {{ on: [{on}] }}\n    timeouts: {{ first_byte: 150ms }}");
        let gateway = before(&[(silent.server(), 60_000), (free.server(), 1)], &upstream, READS_BODIES).await;
        assert_eq!(http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status, status, "{on}");
        assert_eq!((silent.count(), free.count()), (1, tried), "{on}");
    }
}

#[tokio::test]
async fn only_what_may_be_carried_out_twice_is_tried_again_unasked() {
    let (broken, free) = (origin().await, origin().await);
    broken.answers(Script::closing());
    let upstream = "balance: round_robin\n    retry: { on: [error] }";
    for (method, status) in
        [("GET", 200), ("OPTIONS", 200), ("PUT", 200), ("DELETE", 200), ("POST", 502), ("PATCH", 502), ("LOCK", 502)]
    {
        let gateway = before(&[(broken.server(), 60_000), (free.server(), 1)], upstream, "").await;
        let mut client = http1(gateway.address()).await;
        let request = client.request(method, "/v1/files/1").body(body("x")).unwrap();
        assert_eq!(client.call(request).await.status, status, "{method}");
    }
    assert_eq!((broken.count(), free.count()), (7, 4));
}

#[tokio::test]
async fn nothing_is_tried_again_once_a_byte_of_an_answer_has_come() {
    for script in
        [answer(200).length(10).data("half").close(), answer(200).length(10).close(), sse().event("one").reset()]
    {
        let (broken, free) = (origin().await, origin().await);
        broken.answers(script);
        let upstream = "balance: round_robin\n    \
                        retry: { attempts: 5, on: [connect, error, timeout, http_500, http_502, non_idempotent] }";
        let gateway = before(&[(broken.server(), 60_000), (free.server(), 1)], upstream, READS_BODIES).await;
        let mut client = http1(gateway.address()).await;
        let request = client.request("POST", "/v1/messages").body(body(call(300, 1))).unwrap();
        // a head that comes together with the end of its connection may be lost with it
        if let Ok(mut streaming) = client.send(request).await {
            assert_eq!(streaming.status, 200);
            assert!(!streaming.rest().await.1, "a clean end");
        }
        assert_eq!((broken.count(), free.count()), (1, 0));
    }
}

#[tokio::test]
async fn a_body_that_was_passed_on_and_not_kept_is_not_sent_again_in_part() {
    let (busy, free) = (origin().await, origin().await);
    busy.answers(overloaded("busy"));
    let gateway = before(&[(busy.server(), 60_000), (free.server(), 1)], "balance: round_robin", "").await;
    for length in [200_000, 2_000_000] {
        let answer = http1(gateway.address()).await.post("/v1/files", noise(length)).await;
        // either it is kept and sent again in full, or the server's own answer is passed on
        match answer.status.as_u16() {
            200 => assert_eq!(difference(&noise(length), &free.request(free.count() - 1).await.body), None),
            529 => assert_eq!(answer.text(), "busy"),
            status => panic!("{status}, which no server said: {}", answer.text()),
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_is_tried_on_another_server_or_passed_on() {
    let (busy, free) = (origin().await, origin().await);
    busy.answers(overloaded("busy").before_body().close());
    let gateway = before(&[(busy.server(), 60_000), (free.server(), 1)], "balance: round_robin", "").await;
    let mut client = http1(gateway.address()).await;
    let (sender, streamed) = upload();
    let request = client.request("POST", "/v1/files").body(streamed).unwrap();
    let sending = tokio::spawn(async move {
        for piece in noise(300_000).chunks(1000) {
            if !sender.send(piece.to_vec()).await {
                return;
            }
        }
    });
    let answer = client.call(request).await;
    match answer.status.as_u16() {
        200 => assert_eq!(difference(&noise(300_000), &free.request(0).await.body), None),
        529 => assert_eq!(answer.text(), "busy"),
        status => panic!("{status}, which no server said: {}", answer.text()),
    }
    sending.abort();
}
