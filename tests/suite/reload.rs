//! Reload: a whole configuration takes the place of another at once, and whoever is under way notices nothing.

mod counts;
mod listeners;
mod under_load;

use nix::sys::signal::Signal;

use crate::harness::{Gateway, connect, eventually, feed, gateway, http1, origin, sse};
use crate::payloads::call;

/// Reloads by a signal, and waits until that is done.
async fn hang_up(gateway: &Gateway, result: &str) {
    let reloads = async || gateway.metrics().await.sum("tollgate_config_reloads_total", &[("result", result)]);
    let before = reloads().await;
    gateway.signal(Signal::SIGHUP);
    eventually("a reload", async || reloads().await == before + 1.0).await;
}

/// The status of a call that asks for so many tokens.
async fn ask_for(gateway: &Gateway, max_tokens: u64) -> u16 {
    http1(gateway.address()).await.post("/v1/messages", call(300, max_tokens)).await.status.as_u16()
}

#[tokio::test]
async fn a_signal_swaps_routes_and_upstreams() {
    let (one, other) = (origin().await, origin().await);
    let builder = gateway().upstream(&one);
    let text = builder.text();
    let gateway = builder.start().await;
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
    let mut kept = http1(gateway.address()).await;
    assert_eq!(kept.get("/kept").await.status, 200);

    let split =
        text.replace("routes:\n", "routes:\n  - { paths: [/gone/], hosts: [elsewhere.test], upstream: origin }\n");
    gateway.rewrite(split.replace("  - upstream: origin", "  - { paths: [/here/], upstream: origin }"));
    hang_up(&gateway, "ok").await;
    for (path, status) in [("/here/x", 200), ("/", 404), ("/gone/x", 404)] {
        assert_eq!(http1(gateway.address()).await.get(path).await.status, status, "{path}");
        // a connection from before knows it too
        assert_eq!(kept.get(path).await.status, status, "{path}");
    }

    gateway.rewrite(text.replace(&one.server(), &other.server()));
    hang_up(&gateway, "ok").await;
    assert_eq!(kept.get("/moved").await.status, 200);
    assert_eq!(other.request(0).await.target, "/moved");
    drop(kept);
    gateway.idle().await;
}

#[tokio::test]
async fn a_signal_swaps_how_long_a_new_client_may_say_nothing() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    gateway.rewrite(format!("server: {{ header_timeout: 200ms }}\n{text}"));
    hang_up(&gateway, "ok").await;
    // the default, which the listener began with, is a minute: longer than the harness waits
    assert!(connect(gateway.address()).await.to_end().await.is_empty());
    gateway.idle().await;
}

#[tokio::test]
async fn a_signal_swaps_limits() {
    let origin = origin().await;
    let settings = |limit: u64, body: usize| {
        format!("server: {{ max_body: {body} }}\nplugins: [{{ max_tokens: {{ limit: {limit} }} }}]\n")
    };
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.settings(&settings(4000, 4096)).start().await;
    assert_eq!((ask_for(&gateway, 4000).await, ask_for(&gateway, 4001).await), (200, 400));

    gateway.rewrite(format!("{text}{}", settings(5000, 4096)));
    hang_up(&gateway, "ok").await;
    assert_eq!((ask_for(&gateway, 5000).await, ask_for(&gateway, 5001).await), (200, 400));

    gateway.rewrite(format!("{text}{}", settings(5000, 256)));
    hang_up(&gateway, "ok").await;
    assert_eq!(ask_for(&gateway, 1).await, 413);

    gateway.rewrite(&text);
    hang_up(&gateway, "ok").await;
    assert_eq!(ask_for(&gateway, 1_000_000).await, 200);
}

#[tokio::test]
async fn a_request_keeps_the_configuration_it_began_with() {
    let (before, after) = (origin().await, origin().await);
    let limit = |limit: u64| format!("plugins: [{{ max_tokens: {{ limit: {limit} }} }}]\n");
    let builder = gateway().upstream(&before);
    let text = builder.text();
    let gateway = builder.settings(&limit(4000)).start().await;

    // a stream whose call was over what will be the limit
    let events = feed();
    before.answers_next(sse().feed(&events).end());
    let mut stream = connect(gateway.address()).await;
    let body = call(300, 3000);
    let head = format!("POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.send([head.as_bytes(), &body].concat()).await;
    events.send("data: 1\n\n");
    stream.until("data: 1\n\n").await;
    // and a call of which half has come
    let mut half = connect(gateway.address()).await;
    half.send([head.as_bytes(), &body[..150]].concat()).await;
    eventually("two requests", async || gateway.metrics().await.sum("tollgate_requests_in_flight", &[]) == 2.0).await;

    gateway.reload(format!("{}{}", text.replace(&before.server(), &after.server()), limit(1000))).await;
    assert_eq!((ask_for(&gateway, 1001).await, ask_for(&gateway, 1000).await), (400, 200));
    assert_eq!((before.count(), after.count()), (1, 1));
    assert_eq!(gateway.metrics().await.sum("tollgate_config_snapshots", &[]), 2.0);

    half.send(&body[150..]).await;
    assert_eq!(half.answer().await.status, 200);
    assert_eq!(before.request(1).await.body, body);
    events.send("data: 2\n\n");
    stream.until("data: 2\n\n").await;
    events.end();
    stream.until("0\r\n\r\n").await;
    drop((stream, half));
    gateway.idle().await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told_with_its_place() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin).settings("plugins: [{ max_tokens: { limit: 4000 } }]");
    let text = builder.text();
    let gateway = builder.start().await;
    let file = gateway.file().display().to_string();
    let lines = text.lines().count();
    for (broken, place) in [
        (text.replace("limit: 4000", "limit: many"), format!("{file}:{lines}:34: ")),
        (text.replace("plugins:", "plugin:"), format!("{file}:{lines}:1: ")),
        (text.replace("listeners: [", "listeners: [["), format!("{file}:")),
        (format!("{text}server: {{ max_body: 1MiB"), format!("{file}:")),
        (String::new(), format!("{file}:")),
    ] {
        gateway.rewrite(&broken);
        let already = gateway.stderr().matches("not reloaded").count();
        hang_up(&gateway, "error").await;
        eventually("a word of it", async || gateway.stderr().matches("not reloaded").count() > already).await;
        let told = gateway.stderr();
        let told = told.lines().rfind(|line| line.contains("not reloaded")).unwrap();
        assert!(told.contains(&place), "{told}\nlacks {place}");

        let answer = gateway.ask("POST", "/reload").await;
        assert_eq!(answer.status, 400);
        let errors: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let texts = errors["errors"].as_array().unwrap();
        assert!(texts.iter().any(|error| error["text"].as_str().unwrap().starts_with(&place)), "{errors}");
        assert_eq!((ask_for(&gateway, 4000).await, ask_for(&gateway, 4001).await), (200, 400));
    }
    std::fs::remove_file(gateway.file()).unwrap();
    assert_eq!(gateway.ask("POST", "/reload").await.status, 400);
    assert_eq!(ask_for(&gateway, 4001).await, 400);
    gateway.reload(text.replace("4000", "4001")).await;
    assert_eq!(ask_for(&gateway, 4001).await, 200);
    gateway.idle().await;
}

#[tokio::test]
async fn a_server_that_is_new_by_name_is_known_before_it_is_asked() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    let by_name = text.replace(&origin.server(), &format!("localhost:{}", origin.address().port()));
    let mut client = http1(gateway.address()).await;
    for _ in 0..20 {
        gateway.reload(&by_name).await;
        assert_eq!(client.get("/").await.status, 200);
        // and forget the name again
        gateway.reload(&text).await;
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_name_without_address_is_no_reason_to_refuse_a_reload_and_holds_up_no_other() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    let servers =
        format!("{{ address: \"nobody.invalid:1\" }}, {{ address: \"localhost:{}\" }}", origin.address().port());
    gateway.reload(text.replace(&format!("{{ address: \"{}\" }}", origin.server()), &servers)).await;
    assert_eq!(http1(gateway.address()).await.get("/").await.status, 200);
}

#[tokio::test]
async fn what_only_a_restart_can_change_is_told() {
    let origin = origin().await;
    let builder = gateway().upstream(&origin);
    let text = builder.text();
    let gateway = builder.start().await;
    hang_up(&gateway, "ok").await;
    assert!(!gateway.stderr().contains("restart"), "{}", gateway.stderr());
    gateway.rewrite(format!("{text}server: {{ threads: 7 }}\n"));
    hang_up(&gateway, "ok").await;
    gateway.says("change with a restart only").await;
}
