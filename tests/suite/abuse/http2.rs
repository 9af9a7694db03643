//! HTTP/2 that is not meant well: frames that make no sense, heads that never end, streams that are reset at once.

use h2::Ping;
use http::{Request, StatusCode};
use tokio::net::TcpStream;

use super::{SETTINGS, Target};
use crate::harness::{Script, answer, body, connect, eventually, h2c, soon, sse};
use crate::memory::Peak;
use crate::payloads::noise;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NO_SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// A frame, its payload at the length that it says.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A GET over http with a target of nine bytes, in the words of HPACK, without an authority.
fn get(target: &str) -> Vec<u8> {
    [&[0x82, 0x86, 0x04, 9][..], target.as_bytes()].concat()
}

/// The same with the authority `a`.
fn open(target: &str) -> Vec<u8> {
    [get(target), vec![0x41, 1, b'a']].concat()
}

#[tokio::test]
async fn what_makes_no_sense_behind_the_preface_ends_the_connection() {
    let mut target = Target::with(SETTINGS).await;
    let (open, in_order) = (open("/smuggled"), open("/in-order"));
    let field = |name: &[u8], value: &[u8]| {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        [&open[..], &[0, length(name)], name, &[length(value)], value].concat()
    };
    let request = |fields: Vec<u8>| frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields);
    for (name, bytes) in [
        ("noise", noise(3000)),
        ("HTTP/1.1", b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("a frame that is too long", [&[0xff; 9][..], &[0; 40_000]].concat()),
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("data on an idle stream", frame(DATA, 0, 1, b"x")),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0; 4])),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &get("/smuggled"))),
        ("an even stream", frame(HEADERS, END_HEADERS | END_STREAM, 2, &open)),
        ("bad compression", request(vec![0xff; 20])),
        ("no path", request(vec![0x82, 0x86])),
        ("upper case", request(field(b"X-A", b"1"))),
        ("a line end in a value", request(field(b"x", b"1\r\nhost: b"))),
        ("a line end in a name", request(field(b"x\r\ny", b"1"))),
        ("a NUL in a value", request(field(b"x", b"1\0"))),
        ("connection", request(field(b"connection", b"close"))),
        ("transfer-encoding", request(field(b"transfer-encoding", b"chunked"))),
        ("te", request(field(b"te", b"gzip"))),
        ("a pseudo-header behind others", request([field(b"x", b"1"), vec![0x82]].concat())),
        ("an unknown pseudo-header", request(field(b":x", b"1"))),
        ("a length that is not kept", [request(field(b"content-length", b"5"))].concat()),
        ("two lengths", request([field(b"content-length", b"0"), field(b"content-length", b"5")].concat())),
        ("another host", request(field(b"host", b"b"))),
        ("two hosts", request([field(b"host", b"a"), field(b"host", b"a")[open.len()..].to_vec()].concat())),
        ("a user in the authority", request([get("/smuggled"), vec![0x41, 3], b"a@b".to_vec()].concat())),
        ("no authority", request(get("/smuggled"))),
    ] {
        let mut raw = connect(target.gateway.address()).await;
        let _ = raw.try_send([PREFACE, NO_SETTINGS, &bytes].concat()).await;
        // a mistake within one stream leaves the connection to itself
        eventually(name, async || target.gateway.metrics().await.sum("tollgate_requests_in_flight", &[]) == 0.0).await;
        raw.reset();
    }
    // and what is right in itself is served
    let mut raw = connect(target.gateway.address()).await;
    raw.send([PREFACE, NO_SETTINGS, &request(in_order)].concat()).await;
    raw.until("hello").await;
    assert_eq!(target.whole("/in-order"), 1);
    target.is_unharmed().await;
}

#[tokio::test]
async fn heads_that_never_end_take_no_memory_and_no_upstream() {
    let mut target = Target::with(SETTINGS).await;
    let peak = Peak::of(&target.gateway);
    let filler = frame(CONTINUATION, 0, 1, &[&[0, 1, b'x', 0x7f, 0x81, 0x7e][..], &[b'y'; 16_000]].concat());
    let mut raw = connect(target.gateway.address()).await;
    raw.send([PREFACE, NO_SETTINGS, &frame(HEADERS, END_STREAM, 1, &get("/smuggled"))].concat()).await;
    for _ in 0..5000 {
        if raw.try_send(&filler).await.is_err() {
            break;
        }
    }
    assert!(peak.growth() < 20 << 20, "grew by {} MB", peak.growth() >> 20);
    drop(raw);
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_and_the_next_one_served() {
    let mut target = Target::with(SETTINGS).await;
    let mut client = h2c(target.gateway.address()).await;
    let large = client.request("GET", "/smuggled").header("x", "y".repeat(100_000));
    let refused = client.send(large.body(body("")).unwrap()).await;
    assert!(refused.is_err() || refused.unwrap().status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(h2c(target.gateway.address()).await.get("/next").await.text(), "hello");
    target.is_unharmed().await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_leave_nothing_in_flight() {
    const CONNECTIONS: usize = 20;
    const RESETS: usize = 100;
    let mut target = Target::with(SETTINGS).await;
    target.origin.answers_with(|request| match request.target.as_str() {
        "/resetted" => Script::silent(),
        _ => answer(200).body("hello"),
    });
    for _ in 0..CONNECTIONS {
        let streams = (0..RESETS).flat_map(|number| {
            let stream = u32::try_from(2 * number + 1).unwrap();
            let opened = frame(HEADERS, END_HEADERS, stream, &open("/resetted"));
            [opened, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        });
        let bytes: Vec<u8> = [PREFACE, NO_SETTINGS].concat().into_iter().chain(streams).collect();
        let mut raw = connect(target.gateway.address()).await;
        // a gateway may end a connection on which this happens too often
        let _ = raw.try_send(&bytes).await;
        let _ = raw.to_end().await;
    }
    assert!(target.origin.count() <= CONNECTIONS * RESETS);
    target.is_unharmed().await;
}

#[tokio::test]
async fn streams_that_are_reset_mid_answer_leave_nothing_in_flight() {
    let mut target = Target::with(SETTINGS).await;
    target.origin.answers_with(|request| match request.target.as_str() {
        "/reset" => sse().event("one").silence(),
        _ => answer(200).body("hello"),
    });
    let stream = TcpStream::connect(target.gateway.address()).await.unwrap();
    let (sender, mut connection) = soon(h2::client::handshake(stream)).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    for _ in 0..50 {
        let mut streams = Vec::new();
        for _ in 0..10 {
            let request = Request::builder().uri("http://a/reset").body(()).unwrap();
            let mut ready = soon(sender.clone().ready()).await.unwrap();
            let (answer, _) = ready.send_request(request, true).unwrap();
            let mut body = soon(answer).await.unwrap().into_body();
            assert_eq!(soon(body.data()).await.unwrap().unwrap(), "data: one\n\n");
            streams.push(body);
        }
        drop(streams); // which resets them
        soon(pings.ping(Ping::opaque())).await.unwrap();
    }
    assert_eq!(target.origin.count(), 500);
    eventually("no open stream", async || target.origin.open_streams() == 0).await;
    target.is_unharmed().await;
}
