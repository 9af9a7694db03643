//! Floods of frames that cost their sender little: the connection ends, the gateway's memory stays as it was, and others are served meanwhile.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::Target;
use crate::harness::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameClient, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM,
    SETTINGS, Script, WINDOW_UPDATE, answer, eventually, field, frame, h2c, http1, request, setting, soon,
};
use crate::memory::Peak;

/// `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const CALM: u32 = 11;
/// The frames that an attacker sends.
const FRAMES: usize = 60_000;
/// By how much the gateway may grow under each flood.
const BOUND: u64 = 24 << 20;
/// How long another client may wait for an answer meanwhile, on a machine that is busy with other things.
const MEANWHILE: Duration = Duration::from_secs(10);

/// Sends what comes first and then the flood, until the gateway ends the connection. Another client is served meanwhile. The code of the end, if it
/// was told.
async fn flood(target: &Target, first: &[u8], frames: impl Fn(usize) -> Vec<u8>) -> Option<u32> {
    let mut client = FrameClient::connect(target.gateway.address()).await;
    assert!(client.send(first).await);
    let (mut reader, mut writer) = client.split();
    let reading = tokio::spawn(async move {
        let mut code = None;
        while let Some(came) = reader.next().await {
            if came.kind == GOAWAY {
                code = Some(u32::from_be_bytes(came.payload[4..8].try_into().unwrap()));
            }
        }
        code
    });
    let sending = async {
        for number in (0..FRAMES).step_by(200) {
            let some: Vec<u8> = (number..number + 200).flat_map(&frames).collect();
            if writer.write_all(&some).await.is_err() {
                return;
            }
        }
    };
    let other = async {
        let mut other = http1(target.gateway.address()).await;
        for _ in 0..5 {
            assert_eq!(timeout(MEANWHILE, other.get("/other")).await.expect("an answer meanwhile").text(), "hello");
        }
    };
    let ((), ()) = tokio::join!(async { soon(sending).await }, other);
    soon(reading).await.unwrap()
}

/// A request that is not complete, so that its stream stays open.
fn upload(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", "/flooded"))
}

fn stream_of(number: usize) -> u32 {
    u32::try_from(2 * number + 1).unwrap()
}

/// One that answers nobody but the others.
async fn target() -> Target {
    let target = Target::patient().await;
    target.origin.answers_with(|request| match request.target.as_str() {
        "/flooded" => Script::silent(),
        _ => answer(200).body("hello"),
    });
    target
}

/// Ends, and takes no memory; told to be calm where the gateway itself ends it.
async fn is_contained(name: &str, first: &[u8], frames: impl Fn(usize) -> Vec<u8>) {
    let mut target = target().await;
    assert_eq!(http1(target.gateway.address()).await.get("/other").await.text(), "hello");
    let peak = Peak::of(&target.gateway);
    let began = Instant::now();
    let flood = flood(&target, first, frames).await;
    // what is still on its way when the connection is closed may sweep the frame away
    assert!([None, Some(CALM)].contains(&flood), "{name}: {flood:?}");
    assert!(peak.growth() < BOUND, "{name}: grew by {} kB in {:?}", peak.growth() >> 10, began.elapsed());
    eventually("a count of it", async || {
        let calm = [("ended", "connection"), ("code", "ENHANCE_YOUR_CALM")];
        target.gateway.metrics().await.sum("tollgate_http2_ended_total", &calm) == 1.0
    })
    .await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn pings() {
    is_contained("pings", &[], |_| frame(PING, 0, 0, b"flooding")).await;
}

#[tokio::test]
async fn settings() {
    is_contained("settings", &[], |_| frame(SETTINGS, 0, 0, &setting(4, 70_000))).await;
}

#[tokio::test]
async fn empty_data() {
    is_contained("empty data", &upload(1), |_| frame(DATA, 0, 1, &[])).await;
}

#[tokio::test]
async fn padding() {
    is_contained("padding", &upload(1), |_| frame(DATA, PADDED, 1, &[&[20][..], &[0; 20]].concat())).await;
}

#[tokio::test]
async fn windows() {
    is_contained("windows", &upload(1), |number| frame(WINDOW_UPDATE, 0, u32::from(number % 2 == 0), &[0, 0, 0, 1]))
        .await;
}

#[tokio::test]
async fn priorities_and_unknown_frames() {
    is_contained("priorities", &[], |number| match number % 2 {
        0 => frame(PRIORITY, 0, stream_of(number), &[0, 0, 0, 0, 1]),
        _ => frame(0xfa, 0, 0, b"unknown"),
    })
    .await;
}

#[tokio::test]
async fn streams_that_are_opened_and_reset() {
    is_contained("rapid reset", &[], |number| {
        [upload(stream_of(number)), frame(RST_STREAM, 0, stream_of(number), &[0, 0, 0, 8])].concat()
    })
    .await;
}

#[tokio::test]
async fn streams_with_a_body_that_are_opened_and_reset() {
    is_contained("rapid reset with a body", &[], |number| {
        let stream = stream_of(number);
        [upload(stream), frame(DATA, 0, stream, &[0; 1024]), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    })
    .await;
}

#[tokio::test]
async fn streams_that_the_gateway_is_made_to_reset() {
    let wrong = [request("POST", "/flooded"), field("content-length", "1")].concat();
    is_contained("provoked resets", &[], |number| {
        let stream = stream_of(number);
        [frame(HEADERS, END_HEADERS, stream, &wrong), frame(DATA, END_STREAM, stream, b"xy")].concat()
    })
    .await;
}

#[tokio::test]
async fn heads_in_empty_pieces() {
    let begun = frame(HEADERS, END_STREAM, 1, &request("GET", "/flooded"));
    is_contained("continuations", &begun, |_| frame(CONTINUATION, 0, 1, &[])).await;
}

#[tokio::test]
async fn heads_that_a_few_bytes_make_large() {
    const CONNECTIONS: usize = 10;
    let mut target = target().await;
    assert_eq!(http1(target.gateway.address()).await.get("/other").await.text(), "hello");
    let peak = Peak::of(&target.gateway);
    // a field of 3 kB into the table, and then thousands of times by its number
    let large = [&[0x40, 1, b'x', 0x7f, 0xb9, 0x16][..], &[b'y'; 3000]].concat();
    let bomb = [request("GET", "/flooded"), large, vec![0xbe; 12_000]].concat();
    for _ in 0..CONNECTIONS {
        let mut client = FrameClient::connect(target.gateway.address()).await;
        for stream in [1, 3, 5, 7] {
            if !client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).await {
                break;
            }
        }
        assert_eq!(h2c(target.gateway.address()).await.get("/other").await.text(), "hello");
    }
    assert!(peak.growth() < BOUND, "grew by {} kB", peak.growth() >> 10);
    assert_eq!(target.whole("/flooded"), 0, "36 MB of head are refused");
    target.is_unharmed().await;
}

#[tokio::test]
async fn windows_that_never_open() {
    const CONNECTIONS: usize = 3;
    const STREAMS: usize = 100;
    let mut target = Target::patient().await;
    target.origin.answers_with(|request| match request.target.as_str() {
        "/flooded" => answer(200).length(1 << 20).repeat([b'x'; 16 << 10], 64).end(),
        _ => answer(200).body("hello"),
    });
    let peak = Peak::of(&target.gateway);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = FrameClient::with(target.gateway.address(), &setting(4, 0)).await;
        for number in 0..STREAMS {
            let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream_of(number), &request("GET", "/flooded"));
            assert!(client.send(opened).await);
        }
        clients.push(client);
    }
    eventually("all of them upstream", async || target.origin.count() >= CONNECTIONS * STREAMS).await;
    assert_eq!(http1(target.gateway.address()).await.get("/other").await.text(), "hello");
    assert_eq!(h2c(target.gateway.address()).await.get("/other").await.text(), "hello");
    // of an answer that its client does not take, Pingora has read what fills its queue of pieces, and no more
    assert!(peak.growth() < (CONNECTIONS * STREAMS) as u64 * (640 << 10), "grew by {} kB", peak.growth() >> 10);
    drop(clients);
    target.is_unharmed().await;
}
