//! Streams: every event leaves when it arrives, nobody's memory fills, and a broken stream never looks whole.

mod ending;
mod leaving;
mod stalling;

use std::time::{Duration, Instant};

use crate::harness::{
    Alpn, Authority, Client, Gateway, Origin, Script, Streaming, answer, body, connect, feed, found, gate, gateway,
    h2c, http1, origin, sse, tls_origin,
};
use crate::memory::Peak;
use crate::payloads::noise;

/// The two protocols of a client.
async fn clients(gateway: &Gateway) -> [Client; 2] {
    [http1(gateway.address()).await, h2c(gateway.address()).await]
}

/// The two protocols of an upstream.
async fn origins() -> [Origin; 2] {
    [origin().await, tls_origin(&Authority::new(), &["localhost"], Alpn::H2).await]
}

/// Opens a stream.
async fn stream(client: &mut Client) -> Streaming {
    let request = client.request("POST", "/v1/messages").header("accept-encoding", "gzip, br, zstd");
    let request = request.header("accept", "text/event-stream").body(body(r#"{"stream":true}"#)).unwrap();
    client.send(request).await.unwrap()
}

#[tokio::test]
async fn every_event_leaves_when_it_arrives_uncompressed() {
    for origin in origins().await {
        for settings in ["", "plugins: [{ max_tokens: { limit: 4000 } }]"] {
            let gateway = gateway().upstream(&origin).settings(settings).start().await;
            for mut client in clients(&gateway).await {
                let events = feed();
                origin.answers(sse().feed(&events).end());
                events.send("event: ping\ndata: {}\n\n");
                let mut streaming = stream(&mut client).await;
                assert_eq!(streaming.headers.get("content-type").unwrap(), "text/event-stream");
                assert!(!streaming.headers.contains_key("content-encoding"));
                assert_eq!(streaming.until("\n\n").await, "event: ping\ndata: {}\n\n");
                // each is sent only when the one before it has been read
                for number in 0..20 {
                    let event = format!("data: {{\"n\":{number},\"text\":\"{}\"}}\n\n", "é".repeat(number * 40));
                    events.send(&event);
                    assert_eq!(streaming.until("\n\n").await, event);
                }
                // cut within an event, as chunks are cut
                events.send("data: ha");
                assert_eq!(streaming.until("ha").await, "data: ha");
                events.send("lf\n\n");
                assert_eq!(streaming.until("\n\n").await, "lf\n\n");
                events.end();
                assert_eq!(streaming.rest().await, (Vec::new(), true));
            }
        }
    }
}

#[tokio::test]
async fn the_head_of_a_stream_leaves_before_its_first_event() {
    for origin in origins().await {
        let gateway = gateway().upstream(&origin).start().await;
        for mut client in clients(&gateway).await {
            let wait = gate();
            origin.answers(sse().wait(&wait).event("one").end());
            let mut streaming = stream(&mut client).await;
            assert_eq!(streaming.status, 200);
            wait.open();
            assert_eq!(streaming.rest().await, (b"data: one\n\n".to_vec(), true));
        }
    }
}

#[tokio::test]
async fn an_event_is_hardly_delayed() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut delays = Vec::new();
    for address in [origin.address(), gateway.address()] {
        let events = feed();
        origin.answers(sse().feed(&events).end());
        let mut client = http1(address).await;
        let mut streaming = stream(&mut client).await;
        let mut took = Vec::new();
        for number in 0..200 {
            let began = Instant::now();
            events.send(format!("data: {number}\n\n"));
            streaming.until("\n\n").await;
            took.push(began.elapsed());
        }
        took.sort_unstable();
        delays.push(took[took.len() / 2]);
    }
    let added = delays[1].saturating_sub(delays[0]);
    // half of what is promised would be seen; more is left to a busy machine and a build without optimization
    assert!(added < Duration::from_millis(2), "added {added:?} to {:?}", delays[0]);
}

/// Waits until the origin is no longer able to write, and tells how much it had written.
pub async fn stalled(origin: &Origin) -> u64 {
    let mut last = (0, Instant::now());
    found("an origin that is made to wait", async || {
        let sent = origin.requests().first().map_or(0, |request| request.sent);
        if sent != last.0 {
            last = (sent, Instant::now());
        }
        (sent > 0 && last.1.elapsed() > Duration::from_millis(500)).then_some(sent)
    })
    .await
}

const MEGABYTE: u64 = 1024 * 1024;

#[tokio::test]
async fn a_slow_reader_makes_the_upstream_wait_and_fills_no_memory() {
    let piece = noise(64 * 1024);
    for (origin, h2) in origins().await.into_iter().zip([false, true]) {
        origin.answers(answer(200).chunked().repeat(&piece, 3200).end());
        let gateway = gateway().upstream(&origin).start().await;
        let peak = Peak::of(&gateway);
        let mut client = if h2 { h2c(gateway.address()).await } else { http1(gateway.address()).await };
        let mut streaming = stream(&mut client).await;
        let sent = stalled(&origin).await;
        assert!(sent < 40 * MEGABYTE, "{sent} bytes were taken from the upstream and not read");
        assert!(peak.growth() < 40 * MEGABYTE, "grew by {} bytes", peak.growth());
        let mut read = 0;
        while let Some(part) = streaming.piece().await {
            let mut part = &part.unwrap()[..];
            while !part.is_empty() {
                let expected = &piece[read % piece.len()..];
                let (seen, more) = part.split_at(part.len().min(expected.len()));
                assert!(expected.starts_with(seen), "other bytes, within {} behind {read}", seen.len());
                read += seen.len();
                part = more;
            }
        }
        assert_eq!(read as u64, 200 * MEGABYTE);
        assert!(peak.growth() < 40 * MEGABYTE, "grew by {} bytes", peak.growth());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_upstream_breaks_here_and_nothing_is_appended() {
    for origin in origins().await {
        let gateway = gateway().upstream(&origin).start().await;
        for end in [Script::close, Script::reset] {
            for mut client in clients(&gateway).await {
                let wait = gate();
                origin.answers(end(sse().event("one").wait(&wait)));
                let mut streaming = stream(&mut client).await;
                assert_eq!(streaming.until("\n\n").await, "data: one\n\n");
                wait.open();
                assert_eq!(streaming.rest().await, (Vec::new(), false));
            }
        }
    }
}

#[tokio::test]
async fn a_broken_stream_has_no_last_chunk_on_the_wire() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let wait = gate();
    origin.answers(sse().event("one").wait(&wait).close());
    let mut raw = connect(gateway.address()).await;
    raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(raw.head().await.status, 200);
    raw.until("data: one\n\n\r\n").await;
    wait.open();
    assert_eq!(raw.to_end().await, b"");
}

#[tokio::test]
async fn a_body_shorter_than_its_length_breaks_the_connection() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    for mut client in clients(&gateway).await {
        let wait = gate();
        origin.answers(answer(200).length(1000).data("half").wait(&wait).close());
        let mut streaming = stream(&mut client).await;
        assert_eq!(streaming.until("half").await, "half");
        wait.open();
        assert_eq!(streaming.rest().await, (Vec::new(), false));
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_ends_cleanly() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    for mut client in clients(&gateway).await {
        origin.answers(answer(200).until_close().data("all of it").end());
        let answer = client.post("/v1/messages", "x").await;
        assert_eq!(answer.text(), "all of it");
    }
}

#[tokio::test]
async fn a_stream_ends_once_and_its_connection_serves_on() {
    for origin in origins().await {
        origin.answers(sse().event("one").end());
        let gateway = gateway().upstream(&origin).start().await;
        let mut raw = connect(gateway.address()).await;
        for _ in 0..3 {
            raw.send("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
            let answer = raw.answer().await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "data: one\n\n"));
        }
    }
}

#[tokio::test]
async fn a_hundred_streams_at_once_keep_their_events_apart() {
    let origin = origin().await;
    origin.answers_with(|request| {
        let name = request.header("x-name").unwrap();
        let mut script = sse();
        for number in 0..20 {
            script = script.event(&format!("{name} {number}")).pause(Duration::from_millis(5));
        }
        script.end()
    });
    let gateway = gateway().upstream(&origin).start().await;
    let client = h2c(gateway.address()).await;
    let asked = (0..100).map(|name| {
        let mut client = client.share();
        tokio::spawn(async move {
            let request =
                client.request("POST", "/v1/messages").header("x-name", format!("n{name}")).body(body("")).unwrap();
            let expected: String = (0..20).map(|number| format!("data: n{name} {number}\n\n")).collect();
            assert_eq!(client.call(request).await.text(), expected);
        })
    });
    for one in asked.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}
