//! Listeners that come and go with a reload.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{connect, eventually, feed, gateway, http1, origin, sse};

/// A port that is kept free for a listener to come: bound, but not listened on, and to be shared.
fn reserved() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

const FIRST: &str = r#"{ address: "127.0.0.1:0" }"#;

#[tokio::test]
async fn a_listener_is_added_and_removed_and_its_streams_go_on() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    let (socket, second) = reserved();
    assert!(TcpStream::connect(second).await.is_err());

    gateway.reload(text.replacen(FIRST, &format!("{FIRST}, {{ address: \"{second}\" }}"), 1)).await;
    drop(socket);
    let mut idle = http1(second).await;
    assert_eq!(idle.get("/second").await.text(), "hello");
    let events = feed();
    origin.answers_next(sse().feed(&events).end());
    let mut stream = connect(second).await;
    stream.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    events.send("data: 1\n\n");
    stream.until("data: 1\n\n").await;

    gateway.reload(&text).await;
    eventually("a port that is closed", async || TcpStream::connect(second).await.is_err()).await;
    events.send("data: 2\n\n");
    stream.until("data: 2\n\n").await;
    assert_eq!(http1(gateway.address()).await.get("/first").await.text(), "hello");
    // a connection that was open is served on
    assert_eq!(idle.get("/still").await.text(), "hello");
    events.end();
    stream.until("0\r\n\r\n").await;
    stream.send("GET /again HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(stream.answer().await.text(), "hello");
    drop((stream, idle));
    gateway.idle().await;
}

#[tokio::test]
async fn an_address_that_is_taken_keeps_the_whole_reload_from_happening() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (_socket, free) = reserved();
    let more = format!("{FIRST}, {{ address: \"{free}\" }}, {{ address: \"{address}\" }}");
    let more = text.replacen(FIRST, &more, 1).replace("- upstream: origin", "- { paths: [/x], upstream: origin }");
    gateway.rewrite(&more);
    let answer = gateway.ask("POST", "/reload").await;
    assert_eq!(answer.status, 400);
    let column = more.find(&format!("\"{address}\"")).unwrap() + 1;
    let place = format!("tollgate.yaml:1:{column}: listeners[2].address: cannot listen on {address}: ");
    assert!(answer.text().contains(&place), "{}\nlacks {place}", answer.text());
    assert!(TcpStream::connect(free).await.is_err(), "half of it has happened");
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);

    drop(taken);
    assert_eq!(gateway.ask("POST", "/reload").await.status, 200);
    for address in [gateway.address(), free, address] {
        assert_eq!(http1(address).await.get("/x").await.status, 200, "{address}");
    }
}

#[tokio::test]
async fn an_access_log_is_opened_anew() {
    let origin = origin().await;
    let gateway = gateway().upstream(&origin).settings("access_log: { path: access.log }").start().await;
    let (log, rotated) = (gateway.folder().join("access.log"), gateway.folder().join("access.log.1"));
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    assert_eq!(http1(gateway.address()).await.get("/1").await.status, 200);
    eventually("a line", async || lines(&log) == 1).await;
    std::fs::rename(&log, &rotated).unwrap();
    assert_eq!(http1(gateway.address()).await.get("/2").await.status, 200);
    eventually("a line in the old file", async || lines(&rotated) == 2).await;
    super::hang_up(&gateway, "ok").await;
    assert_eq!(http1(gateway.address()).await.get("/3").await.status, 200);
    eventually("a line in the new file", async || lines(&log) == 1).await;
    assert_eq!(lines(&rotated), 2);
}
