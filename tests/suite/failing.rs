//! Servers that fail: what counts against them, how long they are left out, how they return, and who takes over.

mod fallback;
mod log_lines;
mod storms;

use serde_json::Value;

use crate::harness::{Gateway, Origin, Script, answer, eventually, gateway, http1, origin, refusing, sse};
use crate::payloads::call;

/// A gateway before these servers, each with settings of its own, by turns.
async fn before(servers: &[(&Origin, &str)], upstream: &str) -> Gateway {
    let servers: Vec<_> =
        servers.iter().map(|(origin, settings)| format!("{{ {settings} address: \"{}\" }}", origin.server())).collect();
    let yaml = format!(
        "listeners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\nupstreams:\n  origin:\n    \
         balance: round_robin\n    servers: [{}]\n{upstream}\nroutes: [{{ upstream: origin }}]\n",
        servers.join(", ")
    );
    gateway().yaml(yaml).start().await
}

/// The states that the gateway has told of, by the word each line ends its first part with.
fn told(gateway: &Gateway, state: &str) -> Vec<Value> {
    let lines = gateway.stderr();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"].as_str().unwrap().starts_with(&format!("server {state}"))).collect()
}

async fn ask(gateway: &Gateway) -> u16 {
    http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await.status.as_u16()
}

#[tokio::test]
async fn every_kind_of_failure_ejects_and_is_told_once() {
    let refused = refusing();
    for (script, kind, limits) in [
        (None, "connect", ""),
        (Some(Script::closing()), "error", ""),
        (Some(Script::raw("nonsense\r\n\r\n")), "invalid_header", ""),
        (Some(Script::silent()), "timeout", "timeouts: { first_byte: 200ms }"),
        (Some(sse().event("one").silence()), "timeout", "timeouts: { idle: 200ms }"),
        (Some(answer(500).body("mine")), "http_500", ""),
        (Some(answer(429).body("mine")), "http_429", ""),
        (Some(answer(529).body("mine")), "http_529", ""),
    ] {
        let (bad, good) = (origin().await, origin().await);
        let address = script.as_ref().map_or(refused.address().to_string(), |_| bad.server());
        if let Some(script) = script {
            bad.answers(script);
        }
        let gateway = gateway()
            .server(address)
            .upstream(&good)
            .upstream_settings("balance: round_robin")
            .upstream_settings(limits);
        let gateway = gateway.start().await;
        for _ in 0..6 {
            let mut client = http1(gateway.address()).await;
            let request = client.request("POST", "/v1/messages").body(crate::harness::body("x")).unwrap();
            if let Ok(mut answer) = client.send(request).await {
                answer.rest().await;
            }
        }
        assert!(bad.count() <= 1 && good.count() >= 5, "{kind}: {} and {}", bad.count(), good.count());
        gateway.says("server ejected").await;
        let told = told(&gateway, "ejected");
        assert_eq!(told.len(), 1, "{kind}: {told:?}");
        assert_eq!((told[0]["failure"].as_str(), &told[0]["seconds"]), (Some(kind), &Value::from(10)), "{kind}");
        gateway.idle().await;
    }
}

#[tokio::test]
async fn an_answer_cut_short_counts_and_so_does_one_that_ends_by_a_reset() {
    for script in [answer(200).length(10).data("half").close(), sse().event("one").reset()] {
        let (bad, good) = (origin().await, origin().await);
        bad.answers(script);
        let gateway = before(&[(&bad, ""), (&good, "")], "").await;
        for _ in 0..4 {
            let mut client = http1(gateway.address()).await;
            let request = client.request("POST", "/v1/messages").body(crate::harness::body("x")).unwrap();
            if let Ok(mut answer) = client.send(request).await {
                answer.rest().await;
            }
        }
        gateway.says("server ejected").await;
        assert_eq!(bad.count(), 1);
    }
}

#[tokio::test]
async fn what_is_the_callers_fault_counts_against_nobody() {
    let (first, second) = (origin().await, origin().await);
    let gateway = before(&[(&first, ""), (&second, "")], "    retry: { on: [http_429, http_404] }").await;
    for status in [400, 401, 403, 404, 413, 422] {
        first.answers(answer(status).body("mine"));
        second.answers(answer(status).body("mine"));
        for _ in 0..2 {
            assert_eq!(ask(&gateway).await, status);
        }
    }
    // it says so itself, and it is tried nowhere else
    let refused = answer(429).header("x-should-retry", "false").body("your fault");
    first.answers(refused.clone());
    second.answers(refused);
    let before = first.count() + second.count();
    for _ in 0..4 {
        assert_eq!(ask(&gateway).await, 429);
    }
    assert_eq!(first.count() + second.count(), before + 4);
    assert!(told(&gateway, "ejected").is_empty());
}

#[tokio::test]
async fn an_answer_may_ask_for_another_attempt() {
    let (first, second) = (origin().await, origin().await);
    first.answers(answer(409).header("x-should-retry", "true").body("once more"));
    let gateway = before(&[(&first, "weight: 100,"), (&second, "")], "").await;
    assert_eq!(ask(&gateway).await, 200);
    assert_eq!((first.count(), second.count()), (1, 1));
    assert!(told(&gateway, "ejected").is_empty(), "a conflict says nothing against it");
}

#[tokio::test]
async fn a_server_is_left_alone_as_long_as_it_asks() {
    for (status, header, value, seconds) in
        [(429, "retry-after", "60", 60), (529, "retry-after-ms", "90000", 90), (503, "retry-after", "100000", 300)]
    {
        let (bad, good) = (origin().await, origin().await);
        bad.answers(answer(status).header(header, value).body("later"));
        let gateway = before(&[(&bad, ""), (&good, "")], "").await;
        assert_eq!((ask(&gateway).await, ask(&gateway).await), (200, 200));
        gateway.says("server ejected").await;
        assert_eq!(told(&gateway, "ejected")[0]["seconds"], seconds, "{status}");
    }
}

#[tokio::test]
async fn it_returns_by_one_request_that_succeeds_and_stays_away_longer_by_one_that_fails() {
    let (bad, good) = (origin().await, origin().await);
    bad.answers(answer(500).body("mine"));
    let gateway = before(&[(&bad, "fail_timeout: 200ms,"), (&good, "")], "").await;
    eventually("three ejections, each longer", async || {
        ask(&gateway).await;
        told(&gateway, "ejected").len() >= 3
    })
    .await;
    let seconds: Vec<f64> =
        told(&gateway, "ejected")[..3].iter().map(|line| line["seconds"].as_f64().unwrap()).collect();
    assert_eq!(seconds, [0.2, 0.4, 0.8]);
    assert_eq!(bad.count(), 3, "one request each time");
    bad.answers(answer(200).body("well again"));
    eventually("a return", async || {
        ask(&gateway).await;
        told(&gateway, "returned").len() == 1
    })
    .await;
    let before = bad.count();
    for _ in 0..10 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!(bad.count(), before + 5, "half of what comes, as before");
}

#[tokio::test]
async fn max_fails_0_ejects_nobody_and_an_only_server_is_never_left_out() {
    let (bad, good) = (origin().await, origin().await);
    bad.answers(answer(500).body("mine"));
    let gateway = before(&[(&bad, "max_fails: 0,"), (&good, "")], "").await;
    for _ in 0..8 {
        ask(&gateway).await;
    }
    assert_eq!((bad.count(), good.count()), (4, 4));

    let only = origin().await;
    only.answers(answer(529).header("retry-after", "60").body("its own words"));
    let gateway = before(&[(&only, "")], "").await;
    for _ in 0..4 {
        let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (529, "its own words"));
        assert_eq!(answer.header("retry-after"), Some("60"));
    }
    assert!(told(&gateway, "ejected").is_empty());
}

#[tokio::test]
async fn where_all_fail_the_last_stays_in_use_and_its_own_error_is_passed_on() {
    let (first, second) = (origin().await, origin().await);
    first.answers(answer(529).body("the first"));
    second.answers(answer(529).body("the second"));
    let gateway = before(&[(&first, ""), (&second, "")], "").await;
    for number in 0..10 {
        let answer = http1(gateway.address()).await.post("/v1/messages", call(300, 1)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (529, "the second"), "{number}");
    }
    assert_eq!((first.count(), second.count()), (1, 10), "no attempt is wasted on one that is known to fail");
    assert_eq!(told(&gateway, "ejected").len(), 1);
    // and it is there at once when it is well again
    second.answers(answer(200).body("well"));
    assert_eq!(ask(&gateway).await, 200);
}

#[tokio::test]
async fn what_a_server_answered_goes_before_what_another_did_not() {
    let (busy, nobody) = (origin().await, refusing());
    busy.answers(answer(529).header("retry-after", "7").body("busy"));
    let gateway = gateway().upstream(&busy).server(nobody.address()).upstream_settings("balance: round_robin");
    let answer = http1(gateway.start().await.address()).await.post("/v1/messages", call(300, 1)).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (529, Some("7")));
    assert_eq!(answer.json()["type"], "error");
    assert_eq!(busy.count(), 1);
}

#[tokio::test]
async fn backups_take_over_and_what_is_down_takes_nothing() {
    let (first, down, backup) = (origin().await, origin().await, origin().await);
    let servers = [(&first, "fail_timeout: 300ms,"), (&down, "down: true,"), (&backup, "backup: true,")];
    let gateway = before(&servers, "").await;
    for _ in 0..4 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!((first.count(), down.count(), backup.count()), (4, 0, 0));
    first.answers(answer(503).body("gone"));
    for _ in 0..3 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!((down.count(), backup.count()), (0, 3));
    first.answers(answer(200).body("here"));
    eventually("a return", async || {
        assert_eq!(ask(&gateway).await, 200);
        !told(&gateway, "returned").is_empty()
    })
    .await;
    let before = backup.count();
    for _ in 0..4 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!(backup.count(), before);
}

#[tokio::test]
async fn an_ejection_outlives_a_reload_and_a_server_of_another_upstream_is_another() {
    let (bad, good) = (origin().await, origin().await);
    bad.answers(answer(500).body("mine"));
    let gateway = before(&[(&bad, ""), (&good, "")], "").await;
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    for _ in 0..2 {
        ask(&gateway).await;
    }
    assert_eq!(bad.count(), 1);
    gateway.reload(text.replace("round_robin", "least_conn")).await;
    for _ in 0..4 {
        assert_eq!(ask(&gateway).await, 200);
    }
    assert_eq!(bad.count(), 1);
    gateway.reload(text.replace("origin", "renamed")).await;
    for _ in 0..2 {
        ask(&gateway).await;
    }
    assert_eq!(bad.count(), 2);
}

#[tokio::test]
async fn a_spent_budget_leaves_the_first_answer_as_it_is() {
    let (busy, free) = (origin().await, origin().await);
    busy.answers(answer(529).body("busy"));
    let none = "    eject: { on: [] }\n    retry: { budget: 0% }";
    let gateway = before(&[(&busy, "weight: 100,"), (&free, "")], none).await;
    for _ in 0..5 {
        assert_eq!(ask(&gateway).await, 529);
    }
    assert_eq!((busy.count(), free.count()), (5, 0));
}

#[tokio::test]
async fn a_storm_of_failures_makes_no_storm_of_retries() {
    let (busy, free) = (origin().await, origin().await);
    busy.answers(answer(529).body("busy"));
    free.answers(answer(529).body("busy"));
    let some = "    eject: { on: [] }\n    retry: { budget: 10% }";
    let gateway = before(&[(&busy, ""), (&free, "")], some).await;
    for _ in 0..400 {
        assert_eq!(ask(&gateway).await, 529);
    }
    // 10 a second for the 10 s of the window, and a tenth of the requests
    let retries = busy.count() + free.count() - 400;
    assert!((100..=140).contains(&retries), "{retries}");
}
