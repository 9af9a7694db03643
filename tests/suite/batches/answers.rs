//! What clients get: answers and failures of both providers, streams, and a place to fetch an answer from.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::harness::{answer, origin};

/// A provider at which half of the requests fail, and a third of the others expire.
fn failing() -> Settings {
    let rate = |rate: &str| rate.parse().unwrap();
    Settings { batch_error_rate: rate("0.5"), batch_expiry_rate: rate("0.3"), ..settings(50) }
}

#[tokio::test]
async fn what_failed_or_expired_is_answered_live() {
    for api in [Api::Messages, Api::Chat] {
        let provider = Provider::start(failing());
        let folder = Folder::new();
        let gateway = start(&provider, folder.path(), "window: 100ms").await;
        let shared = h2c(gateway.address()).await;
        let calls = (1..=40_u64).map(|tokens| {
            let mut client = shared.share();
            tokio::spawn(async move {
                let answer = ask(&mut client, api, "key", "30m", tokens).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(api.output(&answer.json()), Some(tokens));
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        shipped(&gateway).await;
        let book = book(folder.path());
        let of_batches: u64 = book("SELECT count(*) FROM api_requests WHERE batch_id IS NOT NULL").parse().unwrap();
        assert!((5..35).contains(&of_batches), "{of_batches}");
        assert_eq!(book("SELECT count(*) FROM api_requests WHERE outcome = 'completed' AND output_tokens > 0"), "40");
        let submitted = provider.batches("submitted").await;
        assert_eq!(provider.stats().await["calls"], submitted + 40 - of_batches);
    }
}

#[tokio::test]
async fn what_failed_or_expired_is_an_error_where_nothing_goes_live() {
    for api in [Api::Messages, Api::Chat] {
        let provider = Provider::start(failing());
        let folder = Folder::new();
        let gateway = start(&provider, folder.path(), "window: 100ms, otherwise: fail").await;
        let shared = h2c(gateway.address()).await;
        let calls = (1..=40_u64).map(|tokens| {
            let mut client = shared.share();
            tokio::spawn(async move { ask(&mut client, api, "key", "30m", tokens).await })
        });
        let mut counts = [0; 3];
        for call in calls.collect::<Vec<_>>() {
            let answer = call.await.unwrap();
            match answer.status.as_u16() {
                200 => counts[0] += 1,
                502 => counts[1] += 1,
                504 => counts[2] += 1,
                other => panic!("{other}: {}", answer.text()),
            }
            if answer.status != 200 {
                assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text());
            }
        }
        assert!(counts.iter().all(|count| *count > 2), "{counts:?}");
        assert_eq!(provider.stats().await["calls"], provider.batches("submitted").await);
        shipped(&gateway).await;
        let errors = book(folder.path())(
            "SELECT count(*) FROM api_requests WHERE error_type IS NOT NULL AND outcome = 'upstream_failed'",
        );
        assert_eq!(errors, (counts[1] + counts[2]).to_string());
    }
}

#[tokio::test]
async fn a_call_that_is_late_goes_live_or_fails() {
    let provider = Provider::start(settings(3_600_000));
    for (otherwise, expected) in [("live", 200), ("fail", 504)] {
        let folder = Folder::new();
        let gateway = start(&provider, folder.path(), &format!("window: 10ms, otherwise: {otherwise}")).await;
        let mut client = http1(gateway.address()).await;
        let before = provider.batches("submitted").await;
        let late = ask(&mut client, Api::Messages, "key", "200ms", 7).await;
        assert_eq!(late.status, expected, "{}", late.text());
        assert_eq!(provider.batches("submitted").await, before + 1);
        if otherwise == "live" {
            // nobody wants the answer of the batch any more
            eventually("a cancelled batch", async || provider.batches("canceled").await == 1).await;
            shipped(&gateway).await;
            assert_eq!(
                book(folder.path())(
                    "SELECT count(*) FROM api_requests WHERE batch_id IS NULL AND service_tier = 'standard'"
                ),
                "1"
            );
        }
    }
    assert_eq!(provider.batches("canceled").await, 1);
}

#[tokio::test]
async fn streams_are_kept_alive_and_get_the_answer_as_events() {
    let provider = Provider::start(settings(16_500));
    let folder = Folder::new();
    let gateway = start(&provider, folder.path(), "window: 10ms").await;
    let address = gateway.address();
    let stream = async move |api: Api, wait: &'static str, tokens| {
        let mut client = http1(address).await;
        let request = request(&client, api, "key", wait, api.call(tokens, true));
        let sent = Instant::now();
        let mut answer = timeout(Duration::from_secs(30), client.send(request)).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
        let first = String::from_utf8(answer.piece().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(sent.elapsed() >= Duration::from_secs(14), "the first ping comes after 15 seconds");
        let (rest, clean) = answer.rest().await;
        assert!(clean);
        (first, String::from_utf8(rest).unwrap())
    };
    let (messages, chat, late) = tokio::join!(
        stream(Api::Messages, "1h", 11),
        stream(Api::Chat, "1h", 12),
        // its batch takes longer than it waits: it goes live within the stream
        stream(Api::Messages, "15500ms", 13)
    );
    assert!(messages.0.starts_with("event: ping\n"), "{}", messages.0);
    assert!(
        messages.1.contains("event: message_start") && messages.1.contains("\"output_tokens\":11"),
        "{}",
        messages.1
    );
    assert!(messages.1.contains("\"service_tier\":\"batch\""), "{}", messages.1);
    assert!(chat.0.starts_with(": ping\n") && chat.1.trim_end().ends_with("data: [DONE]"), "{}", chat.1);
    assert!(late.1.contains("event: message_stop") && !late.1.contains("\"service_tier\":\"batch\""), "{}", late.1);
    shipped(&gateway).await;
    let book = book(folder.path());
    assert_eq!(
        book("SELECT output_tokens, batch_id IS NOT NULL, service_tier FROM api_requests ORDER BY output_tokens"),
        "11|1|batch\n12|1|batch\n13|0|standard"
    );
    assert_eq!(book("SELECT count(*) FROM batch_results WHERE output_tokens <> 13"), "0");
}

#[tokio::test]
async fn a_client_that_cannot_be_held_fetches_its_answer_and_nobody_else_does() {
    for api in [Api::Messages, Api::Chat] {
        let provider = Provider::start(settings(1_000));
        let folder = Folder::new();
        let gateway = start(&provider, folder.path(), "window: 10ms, max_hold: 50ms").await;
        let mut client = http1(gateway.address()).await;
        let later = ask(&mut client, api, "key", "1h", 9).await;
        assert_eq!(later.status, 202, "{}", later.text());
        assert!(later.header("retry-after").is_some());
        let location = later.header("location").unwrap().to_owned();
        assert!(location.starts_with(&format!("{}?", api.path())), "{location}");
        let fetch = async |key: &str, location: &str| {
            let mut client = http1(gateway.address()).await;
            let request = client.request("GET", location).header("x-api-key", key).body(body("")).unwrap();
            client.call(request).await
        };
        assert_eq!(fetch("key", &location).await.status, 202);
        assert_eq!(fetch("another", &location).await.status, 404);
        // the same request waits for the same answer
        assert_eq!(ask(&mut client, api, "key", "1h", 9).await.header("location"), Some(location.as_str()));
        eventually("an answer", async || fetch("key", &location).await.status == 200).await;
        for _ in 0..2 {
            let answer = fetch("key", &location).await;
            assert_eq!(api.output(&answer.json()), Some(9), "{}", answer.text());
        }
        assert_eq!(fetch("another", &location).await.status, 404);
        assert_eq!(fetch("key", &format!("{}?tollgate-batch=nothing", api.path())).await.status, 404);
        let book = book(folder.path());
        eventually("the usage among the results", async || book("SELECT count(*) FROM batch_results") == "1").await;
        let same = ask(&mut client, api, "key", "1h", 9).await;
        assert_eq!((same.status.as_u16(), api.output(&same.json())), (200, Some(9)));
        assert_eq!(provider.batches("requests").await, 1);
        shipped(&gateway).await;
        // no row of a client has the usage: it is among the results, once, with the id of the first request
        assert_eq!(book("SELECT count(output_tokens) FROM api_requests"), "0");
        assert_eq!(
            book(
                "SELECT count(*), sum(output_tokens), min(cost_picos) > 0 FROM batch_results WHERE request_id IN (SELECT id FROM api_requests WHERE response_status = 202)"
            ),
            "1|9|1"
        );
    }
}

#[tokio::test]
async fn what_asks_for_a_batch_wrongly_is_told_so_and_what_cannot_have_one_goes_live() {
    let origin = origin().await;
    origin.answers(answer(200).header("content-type", "application/json").body("{}"));
    // no credential of its own: a batch would have nobody's
    let gateway = gateway().upstream(&origin).settings("plugins: [{ batch: { window: 10ms } }]").start().await;
    let mut client = http1(gateway.address()).await;
    for (path, wait) in [("/v1/messages", "soon"), ("/v1/chat/completions", "0s"), ("/v1/messages/count_tokens", "5m")]
    {
        let request =
            client.request("POST", path).header("content-type", "application/json").header("x-tollgate-batch", wait);
        let refused = client.call(request.body(body("{}")).unwrap()).await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("x-tollgate-batch"), "{message}");
        assert_eq!(refused.json().get("type").is_some(), path != "/v1/chat/completions", "the caller's own dialect");
    }
    let live = ask(&mut client, Api::Messages, "key", "5m", 3).await;
    assert_eq!(live.status, 200);
    let received = origin.requests();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].header("x-tollgate-batch"), received[0].header("x-api-key")), (None, Some("key")));
}

#[tokio::test]
async fn calls_whose_batch_the_provider_does_not_take_go_live_or_fail() {
    for (otherwise, expected) in [("live", 200), ("fail", 502)] {
        let origin = origin().await;
        origin.answers_with(|request| {
            let json = |status| answer(status).header("content-type", "application/json");
            if request.target.ends_with("/batches") {
                return json(401)
                    .body(r#"{"type":"error","error":{"type":"authentication_error","message":"the secret's name"}}"#);
            }
            json(200).body(r#"{"type":"message","usage":{"input_tokens":1,"output_tokens":1}}"#)
        });
        let plugins = format!("plugins: [{{ batch: {{ window: 10ms, otherwise: {otherwise} }} }}]");
        let gateway = gateway()
            .upstream(&origin)
            .upstream_settings("headers: { x-api-key: the-gateways-own-key }")
            .settings(&plugins)
            .start()
            .await;
        let answer = ask(&mut http1(gateway.address()).await, Api::Messages, "key", "5m", 3).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
        // what the provider says of the gateway's own credential is for its log
        assert!(!answer.text().contains("the secret's name"), "{}", answer.text());
        gateway.says("the provider takes no batch").await;
        let batch = &origin.requests()[0];
        assert_eq!(
            (batch.target.as_str(), batch.header("x-api-key")),
            ("/v1/messages/batches", Some("the-gateways-own-key"))
        );
    }
}

#[tokio::test]
async fn a_call_whose_client_has_its_whole_answer_is_gone_though_no_row_has_its_usage() {
    let refusing = Settings {
        batch_error_rate: "1".parse().unwrap(),
        error_status: http::StatusCode::BAD_REQUEST,
        ..settings(20)
    };
    let cases = [(refusing, Api::Messages, false, 400), (settings(20), Api::Chat, true, 200)];
    for (settings, api, stream, status) in cases {
        let provider = Provider::start(settings);
        let gateway = gateway()
            .server(provider.address)
            .upstream_settings("headers: { x-api-key: the-gateways-own-key, authorization: off }")
            .settings("plugins: [{ batch: { window: 10ms, poll: 20ms } }]")
            .start()
            .await;
        let mut client = http1(gateway.address()).await;
        for number in 1..=2 {
            let request = request(&client, api, "key", "30m", api.call(5, stream));
            let answer = client.call(request).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            assert_eq!(provider.batches("requests").await, number, "the answer of an earlier call");
        }
        eventually("an empty store", async || gateway.metrics().await.sum("tollgate_batch_stored_calls", &[]) == 0.0)
            .await;
    }
}
