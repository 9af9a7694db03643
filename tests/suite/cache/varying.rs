//! Upstreams whose answers differ by headers of the request: nobody gets what was made for another value of one.

use super::*;
use crate::harness::{Origin, eventually, gate, gateway, origin};

/// The upstream's answer is for the one value of this header.
fn by(origin: &Origin, name: &'static str) {
    origin.answers_with(move |request| {
        let value = request.header(name).unwrap_or("nobody");
        answer(200).header("content-type", "application/json").header("vary", name).body(message(value))
    });
}

#[tokio::test]
async fn where_the_scope_is_a_header_only_that_tells_answers_apart() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings(&plugin("scope: { header: X-Tenant }")).start().await;
    let call = asks("hi", false);
    let mut client = http1(gateway.address()).await;
    by(&origin, "x-api-key");
    for key in ["a", "b", "a"] {
        let told = send(&mut client, key, &call, &[("x-tenant", "t")]).await.whole().await;
        assert_eq!((mark(&told), told.text()), ("MISS", message(key)));
    }
    by(&origin, "x-tenant");
    for (tenant, expected) in [("t", "MISS"), ("u", "MISS"), ("t", "HIT"), ("u", "HIT")] {
        let told = send(&mut client, "a", &call, &[("x-tenant", tenant)]).await.whole().await;
        assert_eq!((mark(&told), told.text()), (expected, message(tenant)));
    }
}

#[tokio::test]
async fn calls_under_way_are_not_shared_where_their_answers_differ() {
    let (origin, wait, end) = (origin().await, gate(), gate());
    origin.answers_with({
        let (wait, end) = (wait.clone(), end.clone());
        move |request| {
            let team = request.header("x-team").unwrap_or("nobody");
            let head = answer(200).header("content-type", "text/event-stream").header("vary", "x-team");
            let script = head.chunked().data(format!("data: {team}\n\n"));
            if team == "a" { script.wait(&end).end().after(&wait) } else { script.end() }
        }
    });
    let gateway = gateway().upstream(&origin).settings(&plugin("")).start().await;
    let call = asks("hi", true);
    let asking = |team: &'static str| {
        let (address, call) = (gateway.address(), call.clone());
        tokio::spawn(async move { send(&mut http1(address).await, "key", &call, &[("x-team", team)]).await })
    };
    let first = asking("a");
    origin.request(0).await;
    let second = asking("b");
    eventually("two under way", async || {
        gateway.metrics().await.sum("tollgate_cache_misses_total", &[("tier", "memory")]) == 2.0
    })
    .await;
    wait.open();
    let told = second.await.unwrap().whole().await;
    assert_eq!((mark(&told), told.text().as_str()), ("MISS", "data: b\n\n"));
    // the first goes on, and its head is known
    let told = asking("c").await.unwrap().whole().await;
    assert_eq!((mark(&told), told.text().as_str()), ("MISS", "data: c\n\n"));
    end.open();
    let told = first.await.unwrap().whole().await;
    assert_eq!((mark(&told), told.text().as_str()), ("MISS", "data: a\n\n"));
}
