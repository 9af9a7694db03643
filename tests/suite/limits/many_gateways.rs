//! Gateways that share their limits through one Redis: together they admit no more than the limit, however they are asked, and whatever
//! happens to them or to Redis.

use std::time::{Duration, Instant};

use super::*;
use crate::harness::{Redis, Streaming, found, redis};

/// So long that only a Redis that does not run is late, on whatever machine.
const TIMEOUT: &str = "5s";
/// The longest that a call may take beyond its `timeout` on a busy machine.
const SLACK: Duration = Duration::from_secs(1);

/// Gateways with these settings of limits, in front of one origin.
async fn sharing(redis: &Redis, gateways: usize, timeout: &str, settings: &str) -> (Origin, Vec<Gateway>) {
    let origin = origin().await;
    origin.answers(answer(200).header("content-type", "application/json").body(ANSWER));
    let redis = format!("redis: {{ url: \"{}\", timeout: {timeout} }}", redis.url());
    let plugins = format!("plugins:\n  - rate_limit: {{ {settings}, {redis} }}\n");
    let mut started = Vec::new();
    for _ in 0..gateways {
        started.push(gateway().upstream(&origin).settings(&plugins).start().await);
    }
    (origin, started)
}

/// Sums up what gateways hold of the one count in Redis.
const LEASED: &str = "local leased = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
                      for _, holder in pairs(cmsgpack.unpack(redis.call('GET', key)).h) do leased = leased + holder[1] end end \
                      return leased";

/// Asks until a call is refused, and for as long as leases of others may come back. How many were admitted.
async fn used_up_by_all(gateway: &Gateway, limit: u64, admitted: u64) -> u64 {
    let mut client = http1(gateway.address()).await;
    let mut admitted = admitted;
    eventually("all used up", async || {
        admitted = used_up(&mut client, admitted).await.0;
        admitted >= limit
    })
    .await;
    admitted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_hundred_calls_at_once_on_three_gateways_no_more_pass_than_the_limit_allows() {
    let redis = redis(&[]).await;
    for (settings, limit) in [
        ("limits: [{ by: all, tokens: 12345/month }], reserve: max_tokens", 12_345 / COST),
        ("limits: [{ by: all, requests: 100/h }, { by: model, requests: 1000000/m, concurrent: 1000 }]", 100),
    ] {
        let (origin, gateways) = sharing(&redis, 3, TIMEOUT, settings).await;
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..500 {
            let address = gateways[number % 3].address();
            let mut client = if number % 2 == 0 { h2c(address).await } else { http1(address).await };
            calls.spawn(async move { asked(&mut client).await.status.as_u16() });
        }
        let statuses = calls.join_all().await;
        let admitted = statuses.iter().filter(|status| **status == 200).count() as u64;
        assert!(statuses.iter().all(|status| matches!(status, 200 | 429)));
        assert!(admitted > 0 && admitted <= limit, "{admitted} of {limit}");
        // one alone gets what is left, to the last call, since the others give back what they do not use
        assert!(used_up_by_all(&gateways[0], limit - 1, admitted).await <= limit);
        assert!(origin.count() as u64 <= limit);
        nothing_is_held(&gateways[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_fails_no_call_delays_each_once_and_lets_no_more_pass_than_is_said() {
    const LIMIT: u64 = 300;
    let redis = redis(&[]).await;
    let settings = format!("limits: [{{ by: all, requests: {LIMIT}/month }}, {{ by: model, tokens: 100000000/m }}]");
    let (origin, gateways) = sharing(&redis, 3, "50ms", &settings).await;
    let mut clients = Vec::new();
    for gateway in &gateways {
        let mut client = http1(gateway.address()).await;
        assert_eq!(asked(&mut client).await.status, 200);
        clients.push(client);
    }
    redis.freeze();
    // of its part each gateway refuses nothing
    for client in &mut clients {
        for _ in 0..50 {
            let began = Instant::now();
            assert_eq!(asked(client).await.status, 200);
            assert!(began.elapsed() < Duration::from_millis(50) + SLACK, "{:?}", began.elapsed());
        }
    }
    let mut admitted = 3 + 3 * 50;
    for client in &mut clients {
        let (more, refused) = used_up(client, admitted).await;
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        admitted = more;
    }
    assert!(admitted <= 2 * LIMIT + 3, "{admitted}");
    for gateway in &gateways {
        eventually("left out", async || gateway.metrics().await.sum("tollgate_limit_redis_down", &[]) == 1.0).await;
    }
    redis.thaw();
    for gateway in &gateways {
        eventually("used again", async || gateway.metrics().await.sum("tollgate_limit_redis_down", &[]) == 0.0).await;
    }
    // what was used meanwhile counts
    eventually("nothing passes", async || asked(&mut clients[0]).await.status == 429).await;
    assert!(origin.count() as u64 <= 2 * LIMIT + 3);
}

#[tokio::test]
async fn what_happens_without_redis_is_what_the_file_says() {
    for (on_down, status, reason) in [("allow", 200, None), ("refuse", 503, Some("limits_unavailable"))] {
        let origin = origin().await;
        let redis = "redis: { url: \"redis://127.0.0.1:1\" }";
        let plugins = format!(
            "plugins:\n  - rate_limit: {{ limits: [{{ by: all, requests: 1/month }}], {redis}, on_redis_down: {on_down} }}\n"
        );
        let gateway = gateway().upstream(&origin).settings(&plugins).start().await;
        let mut client = http1(gateway.address()).await;
        for _ in 0..5 {
            let answer = asked(&mut client).await;
            assert_eq!(answer.status.as_u16(), status, "{on_down}");
            if status == 503 {
                assert_eq!(answer.header("retry-after"), Some("1"));
                client = http1(gateway.address()).await;
            }
        }
        if let Some(reason) = reason {
            eventually("a line", async || gateway.access_log().iter().any(|line| line["reason"] == reason)).await;
        }
    }
}

#[tokio::test]
async fn a_months_count_outlives_a_gateway_that_stops_and_one_that_is_killed() {
    let redis = redis(&[]).await;
    let (_origin, mut gateways) = sharing(&redis, 3, TIMEOUT, "limits: [{ by: all, requests: 100/month }]").await;
    for (gateway, signal) in gateways[..2].iter_mut().zip([Signal::SIGTERM, Signal::SIGKILL]) {
        let mut client = http1(gateway.address()).await;
        for _ in 0..20 {
            assert_eq!(asked(&mut client).await.status, 200);
        }
        drop(client);
        // what it does not use it gives back
        eventually("given back", async || redis.ask(&["EVAL", LEASED, "0"]).await.trim() == ":0").await;
        gateway.signal(signal);
        gateway.wait_exit(crate::harness::DEADLINE).await;
    }
    assert_eq!(used_up_by_all(&gateways[2], 60, 0).await, 60);
}

/// A stream on this gateway that does not end, if it is admitted.
async fn streaming(gateway: &Gateway) -> Option<(Streaming, Client)> {
    let mut client = http1(gateway.address()).await;
    let request = client.request("POST", "/v1/messages").header("content-type", "application/json");
    let stream = r#"{"model":"m","max_tokens":100,"stream":true,"messages":[]}"#;
    let streaming = client.send(request.body(body(stream)).unwrap()).await.unwrap();
    (streaming.status == 200).then_some((streaming, client))
}

#[tokio::test]
async fn the_calls_in_progress_of_a_gateway_that_is_killed_make_room_on_the_others() {
    let redis = redis(&[]).await;
    let (origin, gateways) = sharing(&redis, 2, TIMEOUT, "limits: [{ by: all, concurrent: 3 }]").await;
    let open = gate();
    let start = r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    origin.answers(sse().event(start).wait(&open).event(r#"{"type":"message_stop"}"#).end());
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(streaming(&gateways[0]).await.unwrap());
    }
    assert!(streaming(&gateways[1]).await.is_none());
    // one ends, and there is room on the other gateway soon
    drop(held.pop());
    let _one = found("room for one", async || streaming(&gateways[1]).await).await;
    assert!(streaming(&gateways[1]).await.is_none());
    gateways[0].signal(Signal::SIGKILL);
    let _two = found("room for two", async || streaming(&gateways[1]).await).await;
    let _three = found("room for three", async || streaming(&gateways[1]).await).await;
    assert!(streaming(&gateways[1]).await.is_none());
}

/// How many commands Redis has run, those of scripts included.
async fn commands(redis: &Redis) -> u64 {
    let told = redis.ask(&["INFO", "commandstats"]).await;
    let calls = told.split(":calls=").skip(1).map(|rest| rest.split(',').next().unwrap().parse::<u64>().unwrap());
    calls.sum()
}

#[tokio::test]
async fn a_steady_flow_of_calls_needs_less_than_a_command_for_ten_of_them() {
    let redis = redis(&[]).await;
    let limits = "limits: [{ by: all, requests: 1000000/m, tokens: 100000000/m, concurrent: 100 }]";
    let (_origin, gateways) = sharing(&redis, 1, TIMEOUT, limits).await;
    let mut client = http1(gateways[0].address()).await;
    for _ in 0..100 {
        assert_eq!(asked(&mut client).await.status, 200);
    }
    let before = commands(&redis).await;
    for _ in 0..2000 {
        assert_eq!(asked(&mut client).await.status, 200);
    }
    let commands = commands(&redis).await - before;
    println!("{commands} commands for 2000 calls under three limits");
    assert!(commands < 200, "{commands}");
    let keys = redis.keys("tollgate:limit:").await;
    assert_eq!(keys.len(), 3);
    for key in keys {
        assert!(redis.ask(&["PTTL", &key]).await.trim_start_matches(':').trim().parse::<i64>().unwrap() > 0);
    }
}
