//! Both protocols on one port, several requests on one connection, and connections that become something else.

use futures_util::future::join_all;

use crate::harness::{
    Client, Gateway, Origin, Raw, Script, answer, body, connect, eventually, gate, gateway, h2c, http1, origin, sse,
    upload,
};

#[tokio::test]
async fn both_protocols_are_spoken_on_one_port() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut one = http1(gateway.address()).await;
    let mut two = h2c(gateway.address()).await;
    for n in 0..3 {
        assert_eq!(one.get("/one").await.text(), "hello");
        assert_eq!(two.post(&format!("/two?{n}"), "{}").await.text(), "hello");
    }
    let seen = origin.request(5).await;
    assert_eq!((&*seen.method, &*seen.target, &*seen.body), ("POST", "/two?2", &b"{}"[..]));
}

#[tokio::test]
async fn a_preface_that_comes_byte_by_byte_is_still_http_2() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.send([*byte]).await;
    }
    client.send(b"\0\0\0\x04\0\0\0\0\0").await; // SETTINGS
    // the gateway's own, of which the fourth byte is the type
    assert_eq!(client.exactly(9).await[3], 4);
}

#[tokio::test]
async fn many_streams_share_a_clients_connection_without_waiting_for_each_other() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let last = gate();
    origin.answers_with({
        let last = last.clone();
        move |request| match &*request.target {
            "/slow" => sse().event("first").wait(&last).event("last").end(),
            target => answer(200).body(target),
        }
    });
    let client = h2c(gateway.address()).await;
    let slow = client.request("GET", "/slow").body(body("")).unwrap();
    let mut slow = client.share().send(slow).await.unwrap();
    slow.until("first").await;
    let quick = (0..50).map(|n| {
        let mut client = client.share();
        async move { (client.get(&format!("/{n}")).await.text(), format!("/{n}")) }
    });
    for (told, wanted) in join_all(quick).await {
        assert_eq!(told, wanted);
    }
    last.open();
    assert_eq!(slow.whole().await.text(), "data: last\n\n");
}

#[tokio::test]
async fn a_body_of_an_http_2_request_streams() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = h2c(gateway.address()).await;
    let (sender, pieces) = upload();
    let request = client.request("POST", "/up").body(pieces).unwrap();
    let answered = tokio::spawn(async move { client.call(request).await });
    for n in 0..20 {
        assert!(sender.send(vec![n; 10_000]).await);
        let seen = (usize::from(n) + 1) * 10_000;
        eventually("a piece upstream", async || origin.requests().first().is_some_and(|up| up.body.len() >= seen))
            .await;
    }
    drop(sender);
    assert_eq!(answered.await.unwrap().text(), "hello");
    assert_eq!(origin.request(0).await.body.len(), 200_000);
}

/// RFC 9112 §9.3.2: answers come in the order of the requests. A server may also close the connection after any of
/// them, and the client sends the rest again.
#[tokio::test]
async fn requests_that_do_not_wait_for_answers_get_theirs_in_order() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    origin.answers_with(|request| answer(200).body(format!("{} {}", request.method, request.target)));
    let together = "GET /0 HTTP/1.1\r\nhost: a\r\n\r\nGET /1 HTTP/1.1\r\nhost: a\r\n\r\n";
    let bodies = "POST /0 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nGET\
                  POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n";
    let apart = ["GET /0 HTTP/1.1\r\nhost: a\r\n\r\nGET /1 HT", "TP/1.1\r\nhost: a\r\n\r\n"];
    let last = "GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for pieces in [
        &[together, last][..],
        &[&*[together, last].concat()],
        &[&*[bodies, last].concat()],
        &[apart[0], apart[1], last],
    ] {
        let mut client = connect(gateway.address()).await;
        for piece in pieces {
            client.send(piece).await;
        }
        let told = String::from_utf8(client.to_end().await).unwrap();
        let answers: Vec<_> =
            told.split("HTTP/1.1 200 OK").skip(1).map(|answer| answer.rsplit("\r\n\r\n").next()).collect();
        assert!(!answers.is_empty() && answers.len() <= 3, "{told}");
        for (n, answer) in answers.into_iter().enumerate() {
            assert!(answer.is_some_and(|body| body.ends_with(&format!(" /{n}"))), "{told}");
        }
    }
    let seen = origin.requests();
    assert!(seen.iter().all(|request| ["/0", "/1", "/2"].contains(&&*request.target)), "{seen:?}");
}

#[tokio::test]
async fn a_client_that_asks_for_it_has_its_connection_closed_after_the_answer() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let told = String::from_utf8(client.to_end().await).unwrap();
    assert!(told.to_lowercase().contains("connection: close") && told.ends_with("hello"), "{told}");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other_and_so_does_the_upstreams() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let mut client = http1(gateway.address()).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "hello");
    }
    assert_eq!((origin.count(), origin.connections()), (20, 1));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_an_answer_that_it_understands() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    origin.answers(sse().event("one").event("two").end());
    let mut client = connect(gateway.address()).await;
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let told = String::from_utf8(client.to_end().await).unwrap();
    assert!(told.starts_with("HTTP/1.") && !told.to_lowercase().contains("chunked"), "{told}");
    assert!(told.ends_with("\r\n\r\ndata: one\n\ndata: two\n\n"), "{told}");
}

const HANDSHAKE: &str = "GET /socket?a HTTP/1.1\r\nhost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: realtime\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: realtime\r\n\r\n";

async fn web_socket(script: Script) -> (Origin, Gateway, Raw) {
    let origin = origin().await;
    origin.answers(script);
    let gateway = gateway().upstream(&origin).start().await;
    let client = connect(gateway.address()).await;
    (origin, gateway, client)
}

#[tokio::test]
async fn a_web_socket_passes_both_ways() {
    let (origin, gateway, mut client) = web_socket(Script::raw(SWITCHED).echo()).await;
    client.send(HANDSHAKE).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("realtime"));
    assert!(answer.header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")));
    assert!(answer.header("connection").is_some_and(|connection| connection.eq_ignore_ascii_case("upgrade")));
    let seen = origin.request(0).await;
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(seen.header("connection").is_some_and(|connection| connection.eq_ignore_ascii_case("upgrade")));

    let frame: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for piece in [&b"\x81\x05hello"[..], &frame, b"GET / HTTP/1.1\r\n\r\n", b"\0"] {
        client.send(piece).await;
        assert!(client.exactly(piece.len()).await == piece);
    }
    drop(client);
    origin.all_closed().await;
    drop(gateway);
}

#[tokio::test]
async fn a_web_socket_that_the_upstream_ends_ends() {
    let (_origin, _gateway, mut client) = web_socket(Script::raw(SWITCHED).bytes(b"\x88\x02\x03\xe8").close()).await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.answer().await.status, 101);
    assert_eq!(client.to_end().await, b"\x88\x02\x03\xe8");
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_an_answer_like_any_other() {
    let (origin, _gateway, mut client) = web_socket(answer(426).header("x-a", "b").body("no")).await;
    client.send(HANDSHAKE).await;
    let refused = client.answer().await;
    assert_eq!((refused.status, refused.header("x-a"), &*refused.text()), (426, Some("b"), "no"));
    origin.request(0).await;
}

#[tokio::test]
async fn clients_that_come_and_go_leave_nothing_behind() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).start().await;
    let clients: Vec<Client> = join_all((0..30).map(|_| h2c(gateway.address()))).await;
    for mut client in clients {
        assert_eq!(client.get("/").await.text(), "hello");
    }
    eventually("no work in flight", async || {
        let gauges = gateway.metrics().await.in_flight();
        !gauges.is_empty() && gauges.iter().all(|(_, value)| *value == 0.0)
    })
    .await;
}
