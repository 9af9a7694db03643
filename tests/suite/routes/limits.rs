//! Limits of a route: the size of bodies, also of those that stream, and times in place of the upstream's.

use http::StatusCode;

use super::named;
use crate::harness::{Script, answer, body, connect, gate, gateway, h2c, http1, origin, sse, upload};
use crate::payloads::call;

const ROUTES: &str = "  - { paths: [/small/], max_body: 64KiB, upstream: one }\n  - { paths: [/any/], max_body: 0, upstream: one }\n  \
     - { paths: [/v1/], max_body: 1KiB, upstream: one, plugins: [{ max_tokens: { limit: 10 } }] }\n  \
     - { paths: [/answer/], max_body: 1KiB, answer: {} }\n  - { upstream: one }\n";

#[tokio::test]
async fn a_body_that_is_said_to_be_too_large_is_refused_at_once() {
    let (origins, gateway) = named(&["one"], ROUTES, "server: { max_body: 2KiB }\n").await;
    for is_h2 in [false, true] {
        // a refused one may lose its connection
        let connect = async || if is_h2 { h2c(gateway.address()).await } else { http1(gateway.address()).await };
        for (path, size, status) in [
            ("/small/x", 64 << 10, 200),
            ("/small/x", (64 << 10) + 1, 413),
            ("/any/x", 1 << 20, 200),
            ("/other", 1 << 20, 200),
            ("/answer/", 1 << 10, 200),
            ("/answer/", (1 << 10) + 1, 413),
        ] {
            let mut client = connect().await;
            let request = client.request("POST", path).header("content-length", size);
            let answer = client.call(request.body(body(vec![b'x'; size])).unwrap()).await;
            assert_eq!(answer.status.as_u16(), status, "{path} {size}");
        }
        // what plugins read is bounded by the smaller of both
        assert_eq!(connect().await.post("/v1/messages", call(1100, 1)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(connect().await.post("/v1/messages", call(900, 1)).await.status, StatusCode::OK);
    }
    assert!(origins[0].requests().iter().all(|seen| seen.body.len() != (64 << 10) + 1));
    let line = gateway.logged(|line| line["status"] == 413 && line["path"] == "/small/x").await;
    assert_eq!((&line["outcome"], &line["error"]), (&"refused".into(), &"body_too_large".into()), "{line}");
    assert_eq!(line["attempts"], 0, "no attempt was made: {line}");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_refused_while_it_streams() {
    let (origins, gateway) = named(&["one"], ROUTES, "").await;
    origins[0].answers(answer(200).body("whole").read_body());
    for mut client in [http1(gateway.address()).await, h2c(gateway.address()).await] {
        let (sender, streamed) = upload();
        let request = client.request("POST", "/small/v1/messages").header("anthropic-version", "2023-06-01");
        let number = origins[0].count();
        let sending = async {
            let mut sent = 0_usize;
            while sent < 10 << 20 && sender.send(vec![b'x'; 16 << 10]).await {
                sent += 16 << 10;
            }
            drop(sender);
        };
        let request = request.body(streamed).unwrap();
        let (answer, ()) = tokio::join!(client.call(request), sending);
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.json()["error"]["type"], "request_too_large", "{}", answer.text());
        let seen = origins[0].abandoned(number).await;
        assert!(seen.body.len() <= 64 << 10, "{}", seen.body.len());
        let id = answer.header("x-request-id").unwrap();
        let line = gateway.logged(|line| line["id"] == id).await;
        assert_eq!((&line["outcome"], &line["error"]), (&"refused".into(), &"body_too_large".into()), "{line}");
    }
    // as much as is allowed, in pieces
    let mut raw = connect(gateway.address()).await;
    raw.send("POST /small/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..4 {
        raw.send(format!("4000\r\n{}\r\n", "x".repeat(16 << 10))).await;
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    drop(raw);
    gateway.idle().await;
    assert_eq!(gateway.metrics().await.sum("tollgate_upstream_failures_total", &[]), 0.0, "no server is to blame");
}

#[tokio::test]
async fn the_times_of_a_route_take_the_place_of_its_upstreams() {
    let origin = origin().await;
    let yaml = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: {{ address: 127.0.0.1:0 }}\nupstreams:\n  \
         one: {{ servers: [{{ address: \"{0}\" }}], timeouts: {{ first_byte: 400ms, idle: 400ms }} }}\n  \
         slow: {{ servers: [{{ address: \"{0}\" }}], timeouts: {{ first_byte: 1h, idle: 1h }} }}\nroutes:\n  \
         - {{ paths: [/quick/], upstream: slow, timeouts: {{ first_byte: 50ms, idle: 50ms }} }}\n  \
         - {{ paths: [/total/], upstream: slow, timeouts: {{ total: 50ms }} }}\n  \
         - {{ paths: [/patient/], upstream: one, timeouts: {{ idle: 1h, first_byte: 1h }} }}\n  - {{ upstream: one }}\n",
        origin.server()
    );
    let gateway = gateway().yaml(yaml).start().await;
    let took = async |path: &str| {
        let began = std::time::Instant::now();
        let status = http1(gateway.address()).await.get(path).await.status.as_u16();
        let error = gateway.logged(|line| line["path"] == path).await["error"].as_str().map(str::to_owned);
        (status, error, began.elapsed().as_millis())
    };
    origin.answers(Script::silent());
    let (status, error, _) = took("/quick/a").await;
    assert_eq!((status, error.as_deref()), (504, Some("first_byte_timeout")));
    let (status, error, _) = took("/total/a").await;
    assert_eq!((status, error.as_deref()), (504, Some("total_timeout")));
    let (status, _, usual) = took("/a").await;
    assert!(status == 504 && usual >= 400, "{usual} ms");
    let gate = gate();
    origin.answers(sse().event("one").wait(&gate).event("two").end());
    let mut client = http1(gateway.address()).await;
    let mut patient = client.send(client.request("GET", "/patient/b").body(body("")).unwrap()).await.unwrap();
    patient.until("one").await;
    // beyond the upstream's own limit, which ends another stream meanwhile
    let mut other = http1(gateway.address()).await;
    let mut cut = other.send(other.request("GET", "/b").body(body("")).unwrap()).await.unwrap();
    assert!(!cut.rest().await.1, "its own limit breaks it");
    gate.open();
    patient.until("two").await;
}
