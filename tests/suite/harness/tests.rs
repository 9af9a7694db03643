//! The harness itself, without a gateway: its origins do what their scripts say, and its clients see it.

use super::{
    Alpn, Authority, Closed, Framing, Origin, Raw, Script, answer, body, connect, connect_tls, eventually, feed, gate,
    h2, http1, https1, origin, refusing, soon, sse, tls_origin, upload,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn told(script: Script) -> (Origin, Raw) {
    let origin = origin().await;
    origin.answers(script);
    let mut client = connect(origin.address()).await;
    client.send(GET).await;
    (origin, client)
}

#[tokio::test]
async fn an_origin_keeps_what_it_receives_byte_for_byte() {
    let origin = origin().await;
    let mut client = connect(origin.address()).await;
    client.send("PUT /a//b?%2f HTTP/1.1\r\nHost: a\r\nx:  1\r\nX: \u{e9}\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.send("3;e=1\r\nabc\r\n1\r\nd\r\n0\r\nt: 1\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "hello");
    let seen = origin.request(0).await;
    assert_eq!((&*seen.method, &*seen.target, &*seen.body), ("PUT", "/a//b?%2f", &b"abcd"[..]));
    assert_eq!((seen.framing, &*seen.pieces, seen.connection), (Framing::Chunked, &[3, 1][..], 0));
    assert_eq!(seen.all("X"), [b"1", "\u{e9}".as_bytes()]);
    assert_eq!(seen.headers[0].0, "Host");
    assert!(seen.raw_head.ends_with(b"chunked\r\n\r\n"));
    drop(client);
    origin.all_closed().await;
    assert_eq!(origin.closed(0).unwrap().1, Closed::ByPeer);
}

#[tokio::test]
async fn an_answer_can_be_cut_reset_or_never_come() {
    let (_origin, mut client) = told(answer(200).length(10).data("half").close()).await;
    assert_eq!(client.head().await.header("content-length"), Some("10"));
    assert_eq!(client.to_end().await, b"half");

    for script in [Script::closing(), Script::resetting()] {
        let (origin, mut client) = told(script).await;
        assert_eq!(client.to_end().await, b"");
        origin.request(0).await;
        assert_eq!(origin.closed(0).unwrap().1, Closed::Here);
    }

    for script in [Script::silent(), sse().event("one").silence()] {
        let (origin, client) = told(script).await;
        assert_eq!(origin.request(0).await.abandoned, None);
        client.reset();
        assert!(origin.abandoned(0).await.abandoned.is_some());
    }
}

#[tokio::test]
async fn an_answer_waits_for_the_test() {
    let (second, pieces) = (gate(), feed());
    let script = sse().event("one").wait(&second).event("two").feed(&pieces).data("end").end();
    let (origin, mut client) = told(script).await;
    client.head().await;
    assert_eq!(client.until("\n\n\r\n").await, b"b\r\ndata: one\n\n\r\n");
    second.open();
    client.until("data: two\n\n\r\n").await;
    pieces.send("three");
    assert_eq!(client.until("three\r\n").await, b"5\r\nthree\r\n");
    assert_eq!(origin.open_streams(), 1);
    pieces.end();
    assert_eq!(client.until("0\r\n\r\n").await, b"3\r\nend\r\n0\r\n\r\n");
    origin.answered(0).await;
    eventually("no open stream", async || origin.open_streams() == 0).await;
    // and the connection serves the next
    origin.answers(answer(204).empty());
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 204);
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_or_invite_it() {
    let origin = origin().await;
    origin.answers_next(answer(413).body("no").before_body().close());
    let mut client = connect(origin.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 413);
    assert!(!origin.request_head(0).await.complete);

    origin.answers_next(answer(200).body("early").before_body().read_body());
    let mut client = connect(origin.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "early");
    client.send("late").await;
    assert_eq!(origin.request(1).await.body, b"late");

    origin.answers_next(answer(200).body("yes").inviting());
    let mut client = connect(origin.address()).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.send("{}").await;
    assert_eq!(client.answer().await.text(), "yes");
    assert_eq!(origin.request(2).await.body, b"{}");
}

#[tokio::test]
async fn an_origin_that_reads_nothing_makes_its_client_wait() {
    let origin = origin().await;
    origin.reads(false);
    let mut client = http1(origin.address()).await;
    let (sender, pieces) = upload();
    let request = client.request("POST", "/").body(pieces).unwrap();
    let answered = tokio::spawn(async move { client.call(request).await });
    let sending = tokio::spawn(async move {
        for _ in 0..500 {
            assert!(sender.send(vec![0; 100_000]).await);
        }
    });
    assert!(origin.requests().is_empty() && !sending.is_finished());
    origin.reads(true);
    soon(sending).await.unwrap();
    assert_eq!(soon(answered).await.unwrap().text(), "hello");
    assert_eq!(origin.request(0).await.body.len(), 50_000_000);
}

#[tokio::test]
async fn a_client_that_reads_nothing_makes_an_origin_wait() {
    let origin = origin().await;
    origin.answers(answer(200).chunked().repeat(vec![b'x'; 100_000], 500).end());
    let mut client = connect(origin.address()).await;
    client.small_window();
    client.send(GET).await;
    client.exactly(100_000).await;
    let seen = origin.request(0).await;
    assert!(seen.answered.is_none() && seen.sent > 100_000);
    client.reset();
    assert!(origin.abandoned(0).await.sent < 50_000_000);
}

#[tokio::test]
async fn the_same_scripts_play_on_http_2() {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["a.test"], Alpn::H2).await;
    let client = h2(origin.address(), &authority, "a.test").await;
    assert_eq!(client.share().post("/1", "{}").await.text(), "hello");
    let seen = origin.request(0).await;
    assert_eq!((seen.host(), seen.framing, &*seen.body), (Some("a.test"), Framing::Stream, &b"{}"[..]));

    let second = gate();
    origin.answers(sse().event("one").wait(&second).event("two").end());
    let request = client.request("GET", "/2").body(body("")).unwrap();
    let mut stream = client.share().send(request).await.unwrap();
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.until("one").await, "data: one\n\n");
    second.open();
    assert_eq!(stream.rest().await, (b"data: two\n\n".to_vec(), true));

    let seen = gate();
    origin.answers(sse().event("one").wait(&seen).reset());
    let request = client.request("GET", "/3").body(body("")).unwrap();
    let mut broken = client.share().send(request).await.unwrap();
    broken.until("one").await;
    seen.open();
    assert_eq!(broken.rest().await, (Vec::new(), false));

    origin.answers(Script::silent());
    let request = client.request("GET", "/4").body(body("")).unwrap();
    let mut another = client.share();
    let call = tokio::spawn(async move { another.send(request).await.is_ok() });
    origin.request(3).await;
    call.abort();
    origin.abandoned(3).await;

    origin.answers(answer(200).body(vec![1; 1_000_000]));
    assert_eq!(client.share().get("/5").await.body.len(), 1_000_000);
    origin.answers(Script::closing());
    let request = client.request("GET", "/6").body(body("")).unwrap();
    assert!(client.share().send(request).await.is_err());
    assert_eq!((origin.connections(), origin.open_connections()), (1, 0));
}

#[tokio::test]
async fn an_authority_is_trusted_by_those_who_are_told_to() {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["a.test", "127.0.0.1"], Alpn::Http1).await;
    assert_eq!(https1(origin.address(), &authority, "a.test").await.get("/").await.text(), "hello");
    let stream = connect_tls(origin.address(), &authority, "127.0.0.1", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut raw = Raw::over(stream);
    raw.send(GET).await;
    assert_eq!(raw.answer().await.text(), "hello");
    assert!(connect_tls(origin.address(), &Authority::new(), "a.test", &[]).await.is_err());
    assert!(connect_tls(origin.address(), &authority, "b.test", &[]).await.is_err());
}

#[tokio::test]
async fn an_origin_stops_and_comes_back_at_the_same_address() {
    let first = origin().await;
    let mut client = connect(first.address()).await;
    client.send(GET).await;
    client.answer().await;
    let address = first.stop().await;
    assert_eq!(client.to_end().await, b"");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let _second = Origin::again(address);
    assert_eq!(http1(address).await.get("/").await.text(), "hello");
    assert!(tokio::net::TcpStream::connect(refusing().address()).await.is_err());
}

#[tokio::test]
async fn a_request_can_be_broken_off_or_end_in_trailers() {
    let authority = Authority::new();
    let origin = tls_origin(&authority, &["a.test"], Alpn::H2).await;
    let client = h2(origin.address(), &authority, "a.test").await;
    for (number, breaks) in [true, false].into_iter().enumerate() {
        let (sender, pieces) = upload();
        let request = client.request("POST", "/").body(pieces).unwrap();
        let mut another = client.share();
        let call = tokio::spawn(async move { another.send(request).await.is_ok() });
        assert!(sender.send("part").await);
        origin.request_head(number).await;
        if breaks {
            sender.break_off().await;
            origin.abandoned(number).await;
        } else {
            sender.trailers([(http::header::ETAG, "t".parse().unwrap())].into_iter().collect()).await;
            assert_eq!(origin.request(number).await.body, b"part");
        }
        assert_eq!(soon(call).await.unwrap(), !breaks);
    }
}
