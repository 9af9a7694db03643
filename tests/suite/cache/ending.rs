//! Clients that leave at the last event of a stream: what they had in full is stored, and shared, as if they had stayed.

use std::time::Duration;

use super::encoded::gzip;
use super::*;
use crate::harness::{eventually, feed, gate, gateway, h2c, origin};

const STOP: &str = "message_stop\"}\n\n";

/// A client of either protocol.
async fn client(gateway: &Gateway, http2: bool) -> Client {
    if http2 { h2c(gateway.address()).await } else { http1(gateway.address()).await }
}

#[tokio::test]
async fn an_answer_whose_client_left_at_its_last_event_is_stored_whatever_its_server_does_then() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let all = events(&["one"]).concat();
    for (number, http2) in [(0, false), (1, true), (2, false), (3, true), (4, false), (5, true)] {
        let (call, before) = (asks(&format!("{number}"), true), origin.count());
        let script = sse().data(&all);
        origin.answers_next(match number / 2 {
            0 => script.pause(Duration::from_millis(20)).end(),
            1 => script.pause(Duration::from_millis(20)).reset(),
            _ => script.silence(),
        });
        let mut client = client(&gateway, http2).await;
        let mut streaming = send(&mut client, "a", &call, &[]).await;
        streaming.until(STOP).await;
        drop((streaming, client));
        // an answer that is still waited for is shared
        eventually("its row", async || gateway.access_log().iter().any(|row| row["outcome"] == "completed")).await;
        eventually("stored", async || mark(&ask(&gateway, "a", &call).await) == "HIT").await;
        assert_eq!(ask(&gateway, "a", &call).await.text(), all);
        assert_eq!(origin.count(), before + 1, "{number}");
    }
    eventually("all rows", async || {
        gateway.access_log().iter().filter(|row| row["outcome"] == "completed").count() == 6
    })
    .await;
    gateway.idle().await;
}

#[tokio::test]
async fn one_who_shares_an_answer_may_leave_at_its_last_event_too() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    for http2 in [false, true] {
        let (call, events_sent, wait) = (asks(&format!("{http2}"), true), feed(), gate());
        origin.answers_next(sse().feed(&events_sent).wait(&wait).end());
        let all = events(&["one"]);
        events_sent.send(&all[0]);
        let (mut leading, mut following) = (http1(gateway.address()).await, client(&gateway, http2).await);
        let mut leader = send(&mut leading, "a", &call, &[]).await;
        let mut follower = send(&mut following, "a", &call, &[]).await;
        assert_eq!(follower.headers["x-cache"], "COALESCED");
        all[1..].iter().for_each(|event| events_sent.send(event));
        events_sent.end();
        follower.until(STOP).await;
        drop((follower, following));
        // while the leader waits for the end
        let row = gateway.logged(|row| row["outcome"] == "cached" && row["response_bytes"] == all.concat().len()).await;
        assert!(row["error"].is_null(), "{row}");
        wait.open();
        leader.until(STOP).await;
        assert_eq!(leader.rest().await, (Vec::new(), true));
        eventually("no row of one that is gone", async || {
            gateway.access_log().iter().all(|row| row["outcome"] != "client_gone")
        })
        .await;
    }
}

#[tokio::test]
async fn a_compressed_stream_is_stored_only_with_its_own_end() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let packed = gzip(&events(&["one"]).concat());
    for (number, breaks) in [(0, false), (1, true)] {
        let call = asks(&format!("{number}"), true);
        let head = || answer(200).header("content-type", "text/event-stream").header("content-encoding", "gzip");
        let wait = gate();
        let script = head().chunked().data(&packed).wait(&wait);
        origin.answers_next(if breaks { script.reset() } else { script.end() });
        origin.answers(head().body(&packed));
        let mut client = http1(gateway.address()).await;
        let mut streaming = send(&mut client, "a", &call, &[("accept-encoding", "gzip")]).await;
        let mut read = 0;
        while read < packed.len() {
            read += streaming.piece().await.unwrap().unwrap().len();
        }
        drop((streaming, client));
        wait.open();
        let rows = if breaks { 3 } else { 1 };
        eventually("its row", async || gateway.access_log().len() == rows).await;
        assert_eq!(gateway.access_log()[rows - 1]["outcome"], "completed", "{:?}", gateway.access_log());
        let again = send(&mut http1(gateway.address()).await, "a", &call, &[("accept-encoding", "gzip")]).await;
        let again = again.whole().await;
        assert_eq!((mark(&again) == "MISS", &again.body), (breaks, &packed), "{}", mark(&again));
    }
}
