//! What is counted outlives the configuration that counts it.

use crate::harness::{Gateway, Origin, Raw, connect, eventually, found, gate, gateway, origin, sse};

/// Opens a stream, and tells at which origin it arrived.
async fn open(gateway: &Gateway, origins: &[&Origin]) -> (Raw, usize) {
    let before: Vec<usize> = origins.iter().map(|origin| origin.count()).collect();
    let mut raw = connect(gateway.address()).await;
    raw.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw.until("one").await;
    let at =
        found("an origin that was asked", async || (0..origins.len()).find(|at| origins[*at].count() > before[*at]));
    (raw, at.await)
}

/// What the gateway says is in flight at each.
async fn in_flight<const N: usize>(gateway: &Gateway, origins: [&Origin; N]) -> [f64; N] {
    let metrics = gateway.metrics().await;
    origins.map(|origin| metrics.sum("tollgate_upstream_in_flight", &[("server", &origin.server())]))
}

#[tokio::test]
async fn a_server_that_is_new_gets_what_the_others_have_already() {
    let (a, b, c) = (origin().await, origin().await, origin().await);
    let origins = [&a, &b, &c];
    let last = gate();
    for origin in origins {
        origin.answers(sse().event("one").wait(&last).event("last").end());
    }
    let builder = gateway().upstream(&a).upstream(&b);
    let wider = gateway().upstream(&a).upstream(&b).upstream(&c).text();
    let gateway = builder.start().await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(open(&gateway, &origins).await);
    }
    assert_eq!((a.open_streams(), b.open_streams()), (3, 3));

    gateway.reload(&wider).await;
    assert_eq!(in_flight(&gateway, origins).await, [3.0, 3.0, 0.0]);
    for _ in 0..3 {
        let (stream, at) = open(&gateway, &origins).await;
        assert_eq!(at, 2, "the new server has fewer than the others");
        streams.push((stream, at));
    }
    assert_eq!(in_flight(&gateway, origins).await, [3.0; 3]);

    last.open();
    for (stream, _) in &mut streams {
        stream.until("last\n\n\r\n0\r\n\r\n").await;
    }
    drop(streams);
    gateway.idle().await;
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_counted_all_the_while() {
    let (a, b) = (origin().await, origin().await);
    let origins = [&a, &b];
    let last = gate();
    for origin in origins {
        origin.answers(sse().event("one").wait(&last).event("last").end());
    }
    let builder = gateway().upstream(&a).upstream(&b);
    let both = builder.text();
    let gateway = builder.start().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(open(&gateway, &origins).await.0);
    }
    gateway.reload(crate::harness::gateway().upstream(&a).text()).await;
    assert_eq!(b.open_streams(), 2);
    gateway.reload(&both).await;
    assert_eq!(in_flight(&gateway, origins).await, [2.0, 2.0]);
    // their ends are counted where they began
    last.open();
    for stream in &mut streams {
        stream.until("0\r\n\r\n").await;
    }
    eventually("no stream", async || a.open_streams() + b.open_streams() == 0).await;
    drop(streams);
    gateway.idle().await;
}
