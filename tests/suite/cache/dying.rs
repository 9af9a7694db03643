//! Upstreams that are dead, or die, while many wait for one answer.

use super::*;
use crate::harness::{eventually, gate, gateway, origin, refusing};

/// As many calls of the same under way.
async fn under_way(gateway: &Gateway, number: usize, call: &str) -> Vec<tokio::task::JoinHandle<Streaming>> {
    let calls = (0..number).map(|_| {
        let (address, call) = (gateway.address(), call.to_owned());
        tokio::spawn(async move { send(&mut http1(address).await, "a", &call, &[]).await })
    });
    let calls: Vec<_> = calls.collect();
    eventually("all under way", async || {
        let looked = gateway.metrics().await.sum("tollgate_cache_misses_total", &[("tier", "memory")]);
        looked >= f64::from(u32::try_from(number).unwrap())
    })
    .await;
    calls
}

#[tokio::test]
async fn a_dead_upstream_is_told_to_each_and_nothing_of_it_stays() {
    let dead = refusing();
    for stream in [false, true] {
        let gateway = gateway().server(dead.address()).settings(&plugin("")).start().await;
        for call in under_way(&gateway, 20, &asks("hi", stream)).await {
            let told = call.await.unwrap().whole().await;
            assert_eq!((told.status.as_u16(), mark(&told)), (502, "MISS"), "{}", told.text());
            assert_eq!(told.json()["error"]["type"], "api_error");
        }
        assert_eq!(gateway.metrics().await.sum("tollgate_cache_entries", &[("tier", "memory")]), 0.0);
    }
}

#[tokio::test]
async fn where_nothing_was_sent_each_goes_on_alone() {
    for script in [Script::closing(), Script::resetting()] {
        let (origin, wait) = (origin().await, gate());
        origin.answers_next(script.after(&wait));
        origin.answers(json("alive"));
        let retry = "retry: { attempts: 1 }";
        let gateway = gateway().upstream(&origin).upstream_settings(retry).settings(&plugin("")).start().await;
        let calls = under_way(&gateway, 10, &asks("hi", false)).await;
        origin.request(0).await;
        wait.open();
        let mut told = Vec::new();
        for call in calls {
            let answer = call.await.unwrap().whole().await;
            if answer.status == 200 {
                assert_eq!(answer.text(), message("alive"));
            }
            told.push(answer.status.as_u16());
        }
        told.sort_unstable();
        // only whose own call it was has the failure
        assert_eq!(told, [[200; 9].as_slice(), &[502]].concat());
    }
}

#[tokio::test]
async fn an_upstream_that_dies_within_its_answer_cuts_all_at_the_same_byte_and_is_asked_again() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let (all, call) = (events(&["one", "two"]), asks("hi", true));
    for script in [|script: Script| script.reset(), |script: Script| script.close()] {
        let wait = gate();
        let before = origin.count();
        origin.answers_next(script(sse().data(&all[0]).data(&all[1]).wait(&wait)));
        let mut streams = Vec::new();
        for asking in (0..8).map(|_| {
            let (address, call) = (gateway.address(), call.clone());
            tokio::spawn(async move { send(&mut http1(address).await, "a", &call, &[]).await })
        }) {
            streams.push(asking.await.unwrap());
        }
        for stream in &mut streams {
            assert_eq!(
                stream.until("start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n").await,
                all[..2].concat()
            );
        }
        wait.open();
        for stream in &mut streams {
            assert_eq!(stream.rest().await, (Vec::new(), false));
        }
        assert_eq!(origin.count(), before + 1);
    }
    origin.answers_next(streamed(&["one", "two"]));
    let told = ask(&gateway, "a", &call).await;
    assert_eq!((mark(&told), told.text()), ("MISS", all.concat()));
    eventually("all over", async || {
        let broken = |line: &serde_json::Value| line["outcome"] == "upstream_failed";
        gateway.access_log().iter().filter(|line| broken(line)).count() == 16
    })
    .await;
}
