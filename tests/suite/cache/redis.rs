//! Redis behind the memory: what gateways share through it, and that nothing that happens to it is ever felt.

use std::time::{Duration, Instant};

use super::*;
use crate::harness::{Redis, eventually, gateway, origin, redis};
use crate::memory::Peak;

/// What a request may wait for a Redis that fails, by the settings of these tests.
const TIMEOUT: Duration = Duration::from_millis(50);

/// The clients of a load, and the calls of each.
const CLIENTS: usize = 10;
const CALLS: usize = 30;

fn with(redis: &Redis, more: &str) -> String {
    plugin(&format!("redis: {{ url: \"{}\", timeout: 50ms }}, {more}", redis.url()))
}

/// Waits until a call's answer is in Redis, and gives the name of its key.
async fn kept(gateway: &Gateway, redis: &Redis, call: &str) -> String {
    eventually("an answer in Redis", async || {
        let told = ask(gateway, "a", call).await;
        assert_eq!(told.status, 200);
        !redis.keys("tollgate:cache:").await.is_empty()
    })
    .await;
    redis.keys("tollgate:cache:").await.remove(0)
}

#[tokio::test]
async fn an_answer_is_shared_compressed_for_its_time_and_promoted() {
    let redis = redis(&[]).await;
    let origin = origin().await;
    origin.answers(streamed(&["one"; 100]));
    let settings = with(&redis, "ttl: 5m");
    let one = gateway().upstream(&origin).settings(&settings).start().await;
    let call = asks("hi", true);
    let first = ask(&one, "a", &call).await;
    let key = kept(&one, &redis, &call).await;
    let asked = origin.count();
    let ttl: u64 = redis.ask(&["TTL", &key]).await.trim_start_matches(':').trim().parse().unwrap();
    assert!(ttl <= 300 && ttl > 200, "{ttl}");
    let size: usize = redis.ask(&["STRLEN", &key]).await.trim_start_matches(':').trim().parse().unwrap();
    assert!(size < first.body.len(), "{size}");
    let other = gateway().upstream(&origin).settings(&settings).start().await;
    eventually("found in Redis", async || {
        let told = ask(&other, "a", &call).await;
        assert_eq!(told.body, first.body);
        mark(&told) == "HIT"
    })
    .await;
    let metrics = other.metrics().await;
    assert!(metrics.sum("tollgate_cache_entries", &[("tier", "memory")]) >= 1.0);
    // from memory now
    let before = metrics.sum("tollgate_cache_hits_total", &[("tier", "memory")]);
    assert_eq!(mark(&ask(&other, "a", &call).await), "HIT");
    assert_eq!(other.metrics().await.sum("tollgate_cache_hits_total", &[("tier", "memory")]), before + 1.0);
    assert!(origin.count() <= asked + 1);
}

#[tokio::test]
async fn an_answer_whose_fill_failed_reaches_redis_at_a_later_hit() {
    let redis = redis(&[]).await;
    let origin = origin().await;
    origin.answers(json("hello"));
    let gateway = gateway().upstream(&origin).settings(&with(&redis, "")).start().await;
    kept(&gateway, &redis, &asks("connected", false)).await;
    redis.freeze();
    let call = asks("hi", false);
    assert_eq!(mark(&ask(&gateway, "a", &call).await), "MISS");
    eventually("a fill that was skipped or has failed", async || {
        assert_eq!(mark(&ask(&gateway, "a", &call).await), "HIT");
        gateway.metrics().await.sum("tollgate_cache_breaker_open", &[]) > 0.0
    })
    .await;
    redis.thaw();
    eventually("both answers in Redis", async || {
        assert_eq!(mark(&ask(&gateway, "a", &call).await), "HIT");
        redis.keys("tollgate:cache:").await.len() == 2
    })
    .await;
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn rubbish_another_type_and_a_full_redis_are_misses() {
    let redis = redis(&["--maxmemory-policy", "noeviction"]).await;
    let origin = origin().await;
    origin.answers(json("hello"));
    let settings = with(&redis, "");
    let one = gateway().upstream(&origin).settings(&settings).start().await;
    let call = asks("hi", false);
    let key = kept(&one, &redis, &call).await;
    for rubbish in [&["SET", &key, "rubbish"][..], &["SETRANGE", &key, "40", "xxxx"], &["LPUSH", &key, "a"]] {
        if rubbish[0] == "LPUSH" {
            redis.ask(&["DEL", &key]).await;
        }
        assert!(!redis.ask(rubbish).await.starts_with('-'), "{rubbish:?}");
        let fresh = gateway().upstream(&origin).settings(&settings).start().await;
        let told = ask(&fresh, "a", &call).await;
        assert_eq!((told.status.as_u16(), mark(&told), told.text()), (200, "MISS", message("hello")), "{rubbish:?}");
        // the answer takes its place
        eventually("an answer", async || {
            let other = one_more(&origin, &settings).await;
            mark(&ask(&other, "a", &call).await) == "HIT"
        })
        .await;
    }
    let small = with(&redis, "max_entry: 100B,");
    assert_eq!(mark(&ask(&one_more(&origin, &small).await, "a", &call).await), "MISS");
    let told = ask(&one_more(&origin, &settings).await, "a", &call).await;
    assert_eq!(mark(&told), "HIT", "one with other limits has left it there");
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for number in 0..20 {
        let told = ask(&one, "a", &asks(&format!("full {number}"), false)).await;
        assert_eq!((told.status.as_u16(), mark(&told)), (200, "MISS"));
    }
    eventually("refusals counted", async || {
        one.metrics().await.sum("tollgate_cache_errors_total", &[("kind", "refused")]) >= 1.0
    })
    .await;
}

#[tokio::test]
async fn of_a_value_that_is_no_answer_no_more_is_read_than_an_answer_takes() {
    let redis = redis(&[]).await;
    let origin = origin().await;
    origin.answers(json("hello"));
    let settings = plugin(&format!("redis: {{ url: \"{}\", timeout: 5s }}", redis.url()));
    let one = gateway().upstream(&origin).settings(&settings).start().await;
    let call = asks("hi", false);
    let key = kept(&one, &redis, &call).await;
    // 300 MB, most of which Redis makes itself
    redis.ask(&["SETRANGE", &key, "300000000", "x"]).await;
    let other = one_more(&origin, &settings).await;
    assert_eq!(mark(&ask(&other, "a", &asks("another", false)).await), "MISS");
    let peak = Peak::of(&other);
    assert_eq!(mark(&ask(&other, "a", &call).await), "MISS");
    assert!(peak.growth() < 32 << 20, "{}", peak.growth());
    assert_eq!(other.metrics().await.sum("tollgate_cache_errors_total", &[]), 0.0);
}

async fn one_more(origin: &crate::harness::Origin, settings: &str) -> Gateway {
    gateway().upstream(origin).settings(settings).start().await
}

#[tokio::test]
async fn a_redis_that_freezes_is_killed_or_comes_back_under_load_is_never_felt() {
    let redis = redis(&[]).await;
    let origin = origin().await;
    origin.answers(json("hello"));
    let gateway = gateway().upstream(&origin).settings(&with(&redis, "")).start().await;
    let open =
        async |gateway: &Gateway| gateway.metrics().await.sum("tollgate_cache_breaker_open", &[("tier", "redis")]);
    kept(&gateway, &redis, &asks("hi", false)).await;
    let normal = load(&gateway, "normal").await;
    let spared = async |gateway: &Gateway| gateway.metrics().await.sum("tollgate_cache_redis_skipped_total", &[]);
    redis.freeze();
    let before = spared(&gateway).await;
    let frozen = load(&gateway, "frozen").await;
    // what is felt at all is the deadline, on top of what a busy machine costs anyway
    assert!(frozen < normal + TIMEOUT + Duration::from_secs(1), "{normal:?} {frozen:?}");
    // and only by the first: three failures, with as many looks under way as there are clients
    let spared = spared(&gateway).await - before;
    assert!(spared >= (CLIENTS * CALLS - CLIENTS - 3) as f64, "{spared}");
    eventually("left out", async || open(&gateway).await == 1.0).await;
    load(&gateway, "left out").await;
    redis.thaw();
    eventually("used again", async || open(&gateway).await == 0.0).await;
    eventually("filled again", async || {
        ask(&gateway, "a", &asks(&format!("again {}", origin.count()), false)).await;
        redis.keys("tollgate:cache:").await.len() > 1
    })
    .await;
    let address = redis.kill();
    load(&gateway, "killed").await;
    eventually("left out", async || open(&gateway).await == 1.0).await;
    let redis = Redis::again(address).await;
    eventually("used again", async || open(&gateway).await == 0.0).await;
    eventually("filled again", async || {
        ask(&gateway, "a", &asks(&format!("back {}", origin.count()), false)).await;
        !redis.keys("tollgate:cache:").await.is_empty()
    })
    .await;
}

/// Calls by many clients at a time, each new; how long the slowest but one in a hundred took.
async fn load(gateway: &Gateway, name: &str) -> Duration {
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (address, name) = (gateway.address(), name.to_owned());
        clients.spawn(async move {
            let mut connection = http1(address).await;
            let mut times = Vec::new();
            for number in 0..CALLS {
                let call = asks(&format!("{name} {client} {number}"), false);
                let began = Instant::now();
                let told = send(&mut connection, "a", &call, &[]).await.whole().await;
                assert_eq!((told.status.as_u16(), mark(&told)), (200, "MISS"));
                times.push(began.elapsed());
            }
            times
        });
    }
    let mut times = clients.join_all().await.concat();
    times.sort();
    times[times.len() * 99 / 100]
}

#[tokio::test]
async fn a_redis_that_is_absent_at_the_start_is_found_when_it_comes() {
    let gone = redis(&[]).await.kill();
    let origin = origin().await;
    origin.answers(json("hello"));
    let settings = plugin(&format!("redis: {{ url: \"redis://{gone}\", timeout: 50ms }}"));
    let gateway = gateway().upstream(&origin).settings(&settings).start().await;
    assert_eq!(mark(&ask(&gateway, "a", &asks("hi", false)).await), "MISS");
    assert_eq!(mark(&ask(&gateway, "a", &asks("hi", false)).await), "HIT");
    let redis = Redis::again(gone).await;
    eventually("filled", async || {
        ask(&gateway, "a", &asks(&format!("new {}", origin.count()), false)).await;
        !redis.keys("tollgate:cache:").await.is_empty()
    })
    .await;
    // another route to the same content after a reload: the memory and the connection are still there
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    assert_eq!(mark(&ask(&gateway, "a", &asks("hi", false)).await), "HIT");
}

#[tokio::test]
async fn a_cluster_is_shared_like_a_single_redis() {
    let node = redis(&["--cluster-enabled", "yes"]).await;
    assert!(node.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.starts_with("+OK"));
    eventually("a cluster", async || node.ask(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok")).await;
    let origin = origin().await;
    origin.answers(json("hello"));
    let settings = plugin(&format!("redis: {{ cluster: [\"{}\"], timeout: 250ms }}", node.url()));
    let one = gateway().upstream(&origin).settings(&settings).start().await;
    let call = asks("hi", false);
    kept(&one, &node, &call).await;
    // one that looks before it is connected finds nothing, and so remembers it itself
    eventually("found in the cluster", async || {
        let other = one_more(&origin, &settings).await;
        eventually("connected", async || {
            let told = other.ask("DELETE", "/cache?tenant=nobody").await;
            told.text().contains("true")
        })
        .await;
        mark(&ask(&other, "a", &call).await) == "HIT"
    })
    .await;
}
