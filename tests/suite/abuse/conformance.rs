//! Every case of RFC 9113 in which a server must treat what a client sends as an error, from frames that no library would send.

use std::fmt::Write;

use Verdict::{Answered, Closed, Connection, Stream};

use super::{SETTINGS as SHORT, Target};
use crate::harness::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameClient, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, Verdict, WINDOW_UPDATE, field, frame, request, setting, soon,
};

/// Error codes (RFC 9113 §7).
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// Names of settings.
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;

/// A malformed request is an error of its stream; it may be answered first (§8.1.1). An error of a stream may be treated as one of the connection
/// (§5.4.2), which is what the h2 crate does with names and values that it cannot decode.
const MALFORMED: &[Verdict] = &[Stream(PROTOCOL), Answered(400), Connection(PROTOCOL)];
const STREAM_PROTOCOL: &[Verdict] = &[Stream(PROTOCOL), Connection(PROTOCOL)];
/// The h2 crate has no more precise word for the end of the connection.
const CLOSED: &[Verdict] = &[Stream(STREAM_CLOSED), Connection(STREAM_CLOSED), Connection(PROTOCOL)];
const UNREADABLE: &[Verdict] = &[Connection(COMPRESSION), Connection(PROTOCOL)];
const SIZE: &[Verdict] = &[Stream(FRAME_SIZE), Connection(FRAME_SIZE)];
const FLOW: &[Verdict] = &[Stream(FLOW_CONTROL), Connection(FLOW_CONTROL)];

/// A request whose head is whole, and perhaps all of it.
fn open(stream: u32, end: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | end, stream, &request("POST", "/opened"))
}

/// A request that is whole in itself, with these fields behind those of its line.
fn with(fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &[request("GET", "/smuggled"), fields.to_vec()].concat())
}

/// A request of these fields alone.
fn of(fields: &[Vec<u8>]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields.concat())
}

async fn check(cases: &[(&str, Vec<u8>, &[Verdict])]) {
    let mut target = Target::with(SHORT).await;
    let mut wrong = String::new();
    for (name, bytes, allowed) in cases {
        let mut client = FrameClient::connect(target.gateway.address()).await;
        let verdict = client.verdict(bytes).await;
        if !allowed.contains(&verdict) {
            let _ = writeln!(wrong, "{name}: {verdict:?}, not {allowed:?}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn what_frames_may_not_be_ends_the_connection() {
    let long = vec![0; 16_385];
    check(&[
        ("4.2 a long frame", [open(1, 0), frame(DATA, 0, 1, &long)].concat(), SIZE),
        ("4.2 a long head", frame(HEADERS, END_HEADERS, 1, &long), &[Connection(FRAME_SIZE)]),
        ("4.3 bad compression", frame(HEADERS, END_HEADERS, 1, &[0xff; 20]), UNREADABLE),
        ("6.1 data on the connection", frame(DATA, 0, 0, b"x"), &[Connection(PROTOCOL)]),
        (
            "6.1 data that is all padding",
            [open(1, 0), frame(DATA, PADDED, 1, &[5, 0, 0])].concat(),
            &[Connection(PROTOCOL)],
        ),
        (
            "6.2 a head on the connection",
            frame(HEADERS, END_HEADERS, 0, &request("GET", "/smuggled")),
            &[Connection(PROTOCOL)],
        ),
        (
            "6.2 a head that is all padding",
            frame(HEADERS, END_HEADERS | PADDED, 1, &[9, 0x82]),
            &[Connection(PROTOCOL)],
        ),
        ("6.3 a priority of the connection", frame(PRIORITY, 0, 0, &[0; 5]), &[Connection(PROTOCOL)]),
        ("6.3 a short priority", [open(1, 0), frame(PRIORITY, 0, 1, &[0; 4])].concat(), SIZE),
        ("6.4 a reset of the connection", frame(RST_STREAM, 0, 0, &[0; 4]), &[Connection(PROTOCOL)]),
        ("6.4 a short reset", [open(1, 0), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), &[Connection(FRAME_SIZE)]),
        ("6.5 an acknowledgement with settings", frame(SETTINGS, ACK, 0, &setting(1, 1)), &[Connection(FRAME_SIZE)]),
        ("6.5 settings of a stream", frame(SETTINGS, 0, 1, &[]), &[Connection(PROTOCOL)]),
        ("6.5 half a setting", frame(SETTINGS, 0, 0, &[0; 5]), &[Connection(FRAME_SIZE)]),
        ("6.5.2 a push of two", frame(SETTINGS, 0, 0, &setting(ENABLE_PUSH, 2)), &[Connection(PROTOCOL)]),
        (
            "6.5.2 a large window",
            frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, 1 << 31)),
            &[Connection(FLOW_CONTROL)],
        ),
        ("6.5.2 small frames", frame(SETTINGS, 0, 0, &setting(MAX_FRAME_SIZE, 16_383)), &[Connection(PROTOCOL)]),
        ("6.5.2 large frames", frame(SETTINGS, 0, 0, &setting(MAX_FRAME_SIZE, 1 << 24)), &[Connection(PROTOCOL)]),
        (
            "6.6 a promise",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &request("GET", "/smuggled")].concat()),
            &[Connection(PROTOCOL)],
        ),
        ("6.7 a ping of a stream", frame(PING, 0, 1, &[0; 8]), &[Connection(PROTOCOL)]),
        ("6.7 a short ping", frame(PING, 0, 0, &[0; 7]), &[Connection(FRAME_SIZE)]),
        ("6.8 a stream that goes away", frame(GOAWAY, 0, 1, &[0; 8]), &[Connection(PROTOCOL)]),
        ("6.9 a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), &[Connection(PROTOCOL)]),
        ("6.9 a short window", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), &[Connection(FRAME_SIZE)]),
        (
            "6.9 a stream's window of nothing",
            [open(1, 0), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            STREAM_PROTOCOL,
        ),
        (
            "6.9.1 too large a window",
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            &[Connection(FLOW_CONTROL)],
        ),
        (
            "6.9.1 too large a window of a stream",
            [open(1, 0), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            FLOW,
        ),
        (
            "6.9.1 more than the window",
            [open(1, 0), (0..5).flat_map(|_| frame(DATA, 0, 1, &[0; 16_384])).collect()].concat(),
            FLOW,
        ),
        (
            "6.9.2 a window that grows too large",
            [
                open(1, 0),
                frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]),
                frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, (1 << 31) - 1)),
            ]
            .concat(),
            &[Connection(FLOW_CONTROL)],
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_a_stream_is_not_ready_for_is_an_error() {
    let head = request("GET", "/smuggled");
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let streams: Vec<u8> = (0..120).flat_map(|number| open(2 * number + 1, 0)).collect();
    check(&[
        ("5.1 data of an idle stream", frame(DATA, END_STREAM, 1, b"x"), &[Connection(PROTOCOL)]),
        ("5.1 a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), &[Connection(PROTOCOL)]),
        ("5.1 a window of an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), &[Connection(PROTOCOL)]),
        ("5.1 data behind the end", [open(1, END_STREAM), frame(DATA, 0, 1, b"x")].concat(), CLOSED),
        ("5.1 a head behind the end", [open(1, END_STREAM), open(1, END_STREAM)].concat(), CLOSED),
        ("5.1 data behind a reset", [open(1, 0), reset.clone(), frame(DATA, 0, 1, b"x")].concat(), CLOSED),
        ("5.1 a head behind a reset", [open(1, 0), reset, open(1, 0)].concat(), CLOSED),
        ("5.1.1 an even stream", open(2, 0), &[Connection(PROTOCOL)]),
        (
            "5.1.1 a stream of the past",
            [open(5, 0), open(3, 0)].concat(),
            &[Connection(PROTOCOL), Connection(STREAM_CLOSED)],
        ),
        ("5.1.2 too many streams", streams, &[Stream(REFUSED), Stream(PROTOCOL)]),
        (
            "5.5 an unknown frame within a head",
            [frame(HEADERS, 0, 1, &head), frame(0xfa, 0, 0, b"x")].concat(),
            &[Connection(PROTOCOL)],
        ),
        (
            "6.2 data within a head",
            [frame(HEADERS, 0, 1, &head), frame(DATA, 0, 1, b"x")].concat(),
            &[Connection(PROTOCOL)],
        ),
        ("6.10 the rest of no head", frame(CONTINUATION, END_HEADERS, 1, &head), &[Connection(PROTOCOL)]),
        (
            "6.10 the rest of a whole head",
            [open(1, 0), frame(CONTINUATION, END_HEADERS, 1, &head)].concat(),
            &[Connection(PROTOCOL)],
        ),
        (
            "6.10 the rest on the connection",
            [frame(HEADERS, 0, 1, &head), frame(CONTINUATION, END_HEADERS, 0, &[])].concat(),
            &[Connection(PROTOCOL)],
        ),
        (
            "6.10 the rest of another head",
            [frame(HEADERS, 0, 1, &head), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
            &[Connection(PROTOCOL)],
        ),
        ("8.1 a second head", [open(1, 0), frame(HEADERS, END_HEADERS, 1, &field("x", "y"))].concat(), STREAM_PROTOCOL),
    ])
    .await;
}

#[tokio::test]
async fn a_malformed_request_reaches_no_upstream() {
    let [method, scheme, path, authority] =
        [field(":method", "GET"), field(":scheme", "http"), field(":path", "/smuggled"), field(":authority", "a")];
    let line = [method.clone(), scheme.clone(), path.clone(), authority.clone()];
    let without = |left_out: usize| {
        of(&line
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != left_out)
            .map(|(_, field)| field.clone())
            .collect::<Vec<_>>())
    };
    let length = |length: &str, body: &[u8]| {
        let fields = [request("POST", "/opened"), field("content-length", length)].concat();
        [frame(HEADERS, END_HEADERS, 1, &fields), frame(DATA, END_STREAM, 1, body)].concat()
    };
    check(&[
        ("8.1.1 a longer body", length("1", b"xy"), MALFORMED),
        ("8.1.1 a shorter body", length("3", b"xy"), MALFORMED),
        ("8.1.1 no body", with(&field("content-length", "3")), MALFORMED),
        ("8.1.1 two lengths", with(&[field("content-length", "0"), field("content-length", "1")].concat()), MALFORMED),
        ("8.1.1 a length that is none", with(&field("content-length", "x")), MALFORMED),
        ("8.2.1 an upper case name", with(&field("X-A", "1")), MALFORMED),
        ("8.2.1 a space in a name", with(&field("x a", "1")), MALFORMED),
        ("8.2.1 a line end in a name", with(&field("x\r\ny", "1")), MALFORMED),
        ("8.2.1 a letter beyond ASCII in a name", with(&field(b"x\xe4", "1")), MALFORMED),
        ("8.2.1 a colon in a name", with(&field("x:y", "1")), MALFORMED),
        ("8.2.1 an empty name", with(&field("", "1")), MALFORMED),
        ("8.2.1 a NUL in a value", with(&field("x", "a\0b")), MALFORMED),
        ("8.2.1 a line feed in a value", with(&field("x", "a\nb")), MALFORMED),
        ("8.2.1 a carriage return in a value", with(&field("x", "a\rb")), MALFORMED),
        ("8.2.1 a space before a value", with(&field("x", " a")), MALFORMED),
        ("8.2.1 a tab behind a value", with(&field("x", "a\t")), MALFORMED),
        ("8.2.2 connection", with(&field("connection", "close")), MALFORMED),
        ("8.2.2 keep-alive", with(&field("keep-alive", "5")), MALFORMED),
        ("8.2.2 proxy-connection", with(&field("proxy-connection", "close")), MALFORMED),
        ("8.2.2 transfer-encoding", with(&field("transfer-encoding", "chunked")), MALFORMED),
        ("8.2.2 upgrade", with(&field("upgrade", "websocket")), MALFORMED),
        ("8.2.2 te", with(&field("te", "gzip")), MALFORMED),
        (
            "8.3 a pseudo-header behind others",
            of(&[method.clone(), scheme.clone(), field("x", "1"), path.clone(), authority.clone()]),
            MALFORMED,
        ),
        ("8.3 an unknown pseudo-header", of(&[&line[..], &[field(":x", "1")]].concat()), MALFORMED),
        ("8.3 that of an answer", of(&[&line[..], &[field(":status", "200")]].concat()), MALFORMED),
        ("8.3 one twice", of(&[&line[..], std::slice::from_ref(&path)].concat()), MALFORMED),
        ("8.3.1 no method", without(0), MALFORMED),
        ("8.3.1 no scheme", without(1), MALFORMED),
        ("8.3.1 no path", without(2), MALFORMED),
        ("8.3.1 no authority and no host", without(3), MALFORMED),
        (
            "8.3.1 an empty path",
            of(&[method.clone(), scheme.clone(), field(":path", ""), authority.clone()]),
            MALFORMED,
        ),
        (
            "8.3.1 a path without a slash",
            of(&[method.clone(), scheme.clone(), field(":path", "smuggled"), authority.clone()]),
            MALFORMED,
        ),
        (
            "8.3.1 a space in a path",
            of(&[method.clone(), scheme.clone(), field(":path", "/smuggled x"), authority.clone()]),
            MALFORMED,
        ),
        ("8.3.1 a user", of(&[method.clone(), scheme.clone(), path.clone(), field(":authority", "u@a")]), MALFORMED),
        ("8.3.1 another host", with(&field("host", "b")), MALFORMED),
        ("8.3.1 two hosts", with(&[field("host", "a"), field("host", "a")].concat()), MALFORMED),
        ("8.3.1 a host that is none", of(&[method, scheme.clone(), path.clone(), field("host", "a b")]), MALFORMED),
        ("8.5 a tunnel with a path", of(&[field(":method", "CONNECT"), scheme, path, authority]), MALFORMED),
    ])
    .await;
}

#[tokio::test]
async fn whoever_begins_otherwise_is_not_served() {
    let mut target = Target::with(SHORT).await;
    for (name, bytes, allowed) in [
        ("3.4 no settings", [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(), &[Connection(PROTOCOL), Closed][..]),
        ("3.4 another preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r".to_vec(), &[Closed]),
    ] {
        let mut client = FrameClient::silent(target.gateway.address()).await;
        let verdict = if name == "3.4 another preface" {
            // it is HTTP/1.1, and no good one
            assert!(client.send(&bytes).await);
            let (mut reader, _writer) = client.split();
            soon(async { while reader.next().await.is_some() {} }).await;
            Closed
        } else {
            client.verdict(&bytes).await
        };
        assert!(allowed.contains(&verdict), "{name}: {verdict:?}");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn what_is_right_is_served_however_it_is_framed() {
    let mut target = Target::with(SHORT).await;
    let head = request("GET", "/plain");
    let (first, rest) = head.split_at(7);
    for (name, bytes) in [
        ("in one frame", frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)),
        (
            "in three",
            [
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, 0, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, rest),
            ]
            .concat(),
        ),
        ("padded", frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[&[3][..], &head, &[0; 3]].concat())),
        (
            "behind an unknown frame",
            [frame(0xfa, 0xff, 77, b"xyz"), frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)].concat(),
        ),
        (
            "behind unknown settings",
            [frame(SETTINGS, 0, 0, &setting(0xfafa, 1)), frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)].concat(),
        ),
        (
            "behind a priority",
            [frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)].concat(),
        ),
        (
            "with te: trailers",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[head.clone(), field("te", "trailers")].concat()),
        ),
        ("with its host", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[head.clone(), field("host", "a")].concat())),
    ] {
        let mut client = FrameClient::connect(target.gateway.address()).await;
        assert_eq!(client.verdict(&bytes).await, Answered(200), "{name}");
    }
    let mut client = FrameClient::connect(target.gateway.address()).await;
    assert_eq!(client.verdict(&frame(PING, 0, 0, b"calm-now")).await, Verdict::Taken);
    target.is_unharmed().await;
}
