//! What the operator wants gone is gone: here at once, elsewhere within the bound that the README names.

use super::*;
use crate::harness::{Origin, Redis, eventually, feed, gateway, origin, redis};

/// Two gateways that share a Redis, both of which have the answer `old` to a call, as has Redis; the upstream has a new one.
async fn two(call: &str) -> (Redis, Origin, Gateway, Gateway) {
    let redis = redis(&[]).await;
    let origin = origin().await;
    origin.answers(json("old"));
    let settings = plugin(&format!("redis: {{ url: \"{}\", timeout: 250ms }}", redis.url()));
    let one = gateway().upstream(&origin).settings(&settings).start().await;
    let other = gateway().upstream(&origin).settings(&settings).start().await;
    eventually("in Redis", async || {
        ask(&one, "a", call).await;
        !redis.keys("tollgate:cache:").await.is_empty()
    })
    .await;
    eventually("with both", async || mark(&ask(&other, "a", call).await) == "HIT").await;
    origin.answers(json("new"));
    (redis, origin, one, other)
}

#[tokio::test]
async fn a_purge_reaches_redis_and_the_other_gateways() {
    let call = asks("hi", false);
    let (_redis, _origin, one, other) = two(&call).await;
    let told = one.ask("DELETE", "/cache?model=claude-opus-4").await;
    assert_eq!((told.status, told.text().trim_end()), (200, r#"{"purged":0,"shared":true}"#));
    assert_eq!(mark(&ask(&one, "a", &call).await), "HIT");
    let told = one.ask("DELETE", "/cache?model=claude-opus-5").await;
    assert_eq!((told.status, told.text().trim_end()), (200, r#"{"purged":1,"shared":true}"#));
    let fresh = ask(&one, "a", &call).await;
    assert_eq!((mark(&fresh), fresh.text()), ("MISS", message("new")));
    eventually("gone from the other, too", async || ask(&other, "a", &call).await.text() == message("new")).await;
    for path in ["/cache", "/cache?tenant=", "/cache?x=1"] {
        assert_eq!(one.ask("DELETE", path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_purge_while_redis_is_gone_is_carried_out_here_and_told_later_also_by_another_configuration() {
    let call = asks("hi", false);
    for reloads in [false, true] {
        let (redis, _origin, one, other) = two(&call).await;
        redis.freeze();
        let told = one.ask("DELETE", "/cache?all").await;
        assert_eq!((told.status, told.text().trim_end()), (202, r#"{"purged":1,"shared":false}"#));
        assert_eq!(ask(&one, "a", &call).await.text(), message("new"));
        if reloads {
            let text = std::fs::read_to_string(one.file()).unwrap();
            one.rewrite(text.replace("timeout: 250ms", "timeout: 251ms"));
            assert_eq!(one.ask("POST", "/reload").await.status, 200);
        }
        redis.thaw();
        eventually("gone from the other, too", async || ask(&other, "a", &call).await.text() == message("new")).await;
    }
}

#[tokio::test]
async fn who_comes_behind_a_purge_joins_nothing_from_before_it() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let (events, call) = (feed(), asks("hi", true));
    origin.answers_next(sse().feed(&events).end());
    origin.answers(streamed(&["new"]));
    let all = super::events(&["old"]);
    events.send(&all[0]);
    let asking = async || send(&mut http1(gateway.address()).await, "a", &call, &[]).await;
    let (leader, follower) = (asking().await, asking().await);
    // another model's purge is none of theirs
    assert_eq!(gateway.ask("DELETE", "/cache?model=claude-opus-4").await.status, 200);
    let other = asking().await;
    assert_eq!(gateway.ask("DELETE", "/cache?model=claude-opus-5").await.status, 200);
    let told = asking().await.whole().await;
    assert_eq!((mark(&told), told.text()), ("MISS", super::events(&["new"]).concat()));
    // those who were there have what they began to read
    all[1..].iter().for_each(|event| events.send(event));
    events.end();
    for (stream, expected) in [(leader, "MISS"), (follower, "COALESCED"), (other, "COALESCED")] {
        let told = stream.whole().await;
        assert_eq!((mark(&told), told.text()), (expected, all.concat()));
    }
    let told = ask(&gateway, "a", &call).await;
    assert_eq!((mark(&told), told.text()), ("HIT", super::events(&["new"]).concat()));
}
